DELETE FROM volguard.workers WHERE service_id = ANY ($1) AND status IS NOT NULL

UPDATE volguard.workers SET service_id = $1, updated_at = clock_timestamp() WHERE token = $2 AND service_id = $3

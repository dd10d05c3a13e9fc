UPDATE volguard.services SET fenced_at = clock_timestamp()
WHERE cluster = 'bench' AND fenced_at IS NULL AND heartbeat_at + lease <= clock_timestamp()
RETURNING service_id

WITH next AS (
    SELECT token FROM jobs
    WHERE service_id IS NULL AND cluster = 'bench' AND operation = 'extend' AND not_before <= pg_catalog.now()
    ORDER BY priority, not_before, token LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET service_id = $1, attempt = attempt + 1, updated_at = pg_catalog.clock_timestamp()
FROM next WHERE jobs.token = next.token
RETURNING jobs.token, jobs.resource_id::uuid

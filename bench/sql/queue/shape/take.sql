WITH next AS (
    SELECT token FROM shaped_jobs
    WHERE service_id IS NULL AND cluster = 'bench' AND host = '' AND operation = 'extend' AND resource_type = 'volume'
      AND not_before <= pg_catalog.now()
    ORDER BY (- priority), not_before, work_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE shaped_jobs SET service_id = $1, attempt = attempt + 1, updated_at = pg_catalog.clock_timestamp()
FROM next WHERE shaped_jobs.token = next.token
RETURNING shaped_jobs.token, shaped_jobs.resource_id::uuid

WITH changed AS (
    UPDATE volumes SET status = 'extending' WHERE id = $1 AND status = 'available' RETURNING id, status
)
INSERT INTO shaped_jobs (resource_id, resource_type, lock_name, cluster, token, status, acquired_at, updated_at,
    work_id, operation, host, priority, not_before, attempt, submitted_by)
SELECT id::text, 'volume', '', 'bench', number, status, t.at, t.at, number, 'extend', '', 0, t.at, 0, CURRENT_USER
FROM changed, pg_catalog.nextval('shaped_tokens') AS number, LATERAL (SELECT pg_catalog.clock_timestamp()) AS t (at)
RETURNING token

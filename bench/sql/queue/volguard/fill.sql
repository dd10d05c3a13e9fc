-- Waiting work, as submit_work would write it; older than all that the clients submit.
INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, status, acquired_at, updated_at,
    work_id, operation, host, priority, not_before, attempt, submitted_by)
SELECT 'bench', 'volume', pg_catalog.md5('waiting ' || number)::uuid::text, '', number, 'extending', t.at, t.at,
    number, 'extend', '', 0, t.at, 1, 'bench'
FROM pg_catalog.generate_series(1, $1::integer) AS number,
    LATERAL (SELECT pg_catalog.clock_timestamp() - '1 hour'::interval) AS t (at)

-- Waiting work; older than all that the clients submit.
INSERT INTO jobs (resource_id, resource_type, cluster, status, operation, not_before)
SELECT pg_catalog.md5('waiting ' || number)::uuid::text, 'volume', 'bench', 'extending', 'extend',
    pg_catalog.clock_timestamp() - '1 hour'::interval
FROM pg_catalog.generate_series(1, $1::integer) AS number

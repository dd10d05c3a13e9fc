-- Locks held, one in ten with work, as acquire would write them; a client would take hours
-- for what takes seconds here. The tokens are far below those that acquire draws. A run
-- with another number of rows, different by a factor of two or more, gets other tokens.
INSERT INTO volguard.workers
    (cluster, resource_type, resource_id, lock_name, token, service_id, status, request_id, acquired_at, updated_at)
SELECT 'bench', 'volume', pg_catalog.gen_random_uuid()::text, '',
       number + $1,
       ($2::bigint[])[1 + number % pg_catalog.cardinality($2)],
       CASE number % 10 WHEN 0 THEN 'extending' END,
       pg_catalog.gen_random_uuid(),
       pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()
FROM pg_catalog.generate_series(1, $1) AS number

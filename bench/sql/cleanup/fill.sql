-- $1 rows of the services $2, as acquire would have written them: half of them plain locks, a quarter
-- work on volumes, a quarter work on snapshots. For each resource in work there is one that is in order.
WITH
rows AS (
    SELECT number, gen_random_uuid() AS id,
           CASE number % 4 WHEN 1 THEN 'creating' WHEN 3 THEN 'deleting' END AS status
    FROM generate_series(1, $1::integer) AS number
),
volumes AS (
    INSERT INTO volumes
    SELECT id, status, NULL, 10, 0 FROM rows WHERE status = 'creating'
    UNION ALL
    SELECT gen_random_uuid(), 'available', NULL, 10, 0 FROM rows WHERE status = 'creating'
),
snapshots AS (
    INSERT INTO snapshots
    SELECT id, gen_random_uuid(), status, 0 FROM rows WHERE status = 'deleting'
    UNION ALL
    SELECT gen_random_uuid(), gen_random_uuid(), 'available', 0 FROM rows WHERE status = 'deleting'
)
INSERT INTO volguard.workers
    (cluster, resource_type, resource_id, lock_name, token, service_id, status, request_id, acquired_at, updated_at)
SELECT 'bench', CASE status WHEN 'deleting' THEN 'snapshot' ELSE 'volume' END, id::text, '', number,
       ($2::bigint[])[1 + number % cardinality($2)], status, gen_random_uuid(), now(), now()
FROM rows

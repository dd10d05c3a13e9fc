WITH changed AS (
    UPDATE volumes SET status = 'extending' WHERE id = $1 AND status = 'available' RETURNING id, status
), submitted AS (
    INSERT INTO jobs (resource_id, resource_type, cluster, status, operation)
    SELECT id::text, 'volume', 'bench', status, 'extend' FROM changed
    RETURNING token
)
SELECT token, pg_catalog.pg_notify('bench', 'extend') FROM submitted

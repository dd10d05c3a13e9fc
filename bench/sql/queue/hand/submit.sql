WITH changed AS (
    UPDATE volumes SET status = 'extending' WHERE id = $1 AND status = 'available' RETURNING id, status
)
INSERT INTO jobs (resource_id, resource_type, cluster, status, operation)
SELECT id::text, 'volume', 'bench', status, 'extend' FROM changed
RETURNING token

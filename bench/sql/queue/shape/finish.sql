WITH done AS (
    DELETE FROM shaped_jobs WHERE token = $1 RETURNING resource_id
)
UPDATE volumes SET status = 'available', size = size + 1 FROM done WHERE id = resource_id::uuid
RETURNING 1::bigint

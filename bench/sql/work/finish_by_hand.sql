WITH released AS (
    DELETE FROM locks WHERE token = $1 RETURNING volume_id
)
UPDATE volumes SET status = 'available', size = size + 1 FROM released WHERE id = volume_id
RETURNING pg_catalog.to_jsonb(volumes.*) AS new_row

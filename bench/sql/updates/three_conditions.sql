UPDATE volumes
SET previous_status = status, status = $2
WHERE id = $1
  AND status IN ('available', 'error')
  AND attach_status IS DISTINCT FROM 'attached'
  AND migration_status IS NULL
RETURNING pg_catalog.to_jsonb(volumes.*) AS new_row

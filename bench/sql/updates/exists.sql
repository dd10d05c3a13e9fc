UPDATE volumes
SET previous_status = status, status = $2
WHERE id = $1
  AND status IN ('available', 'error')
  AND NOT EXISTS (SELECT FROM snapshots WHERE snapshots.volume_id = volumes.id AND NOT snapshots.deleted)
RETURNING pg_catalog.to_jsonb(volumes.*) AS new_row

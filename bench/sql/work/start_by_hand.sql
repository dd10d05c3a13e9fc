WITH changed AS (
    UPDATE volumes SET status = 'extending' WHERE id = $2 AND status = 'available' RETURNING volumes.*
), held AS (
    INSERT INTO locks (volume_id, service_id, status) SELECT id, $1, status FROM changed RETURNING token
)
SELECT held.token, pg_catalog.to_jsonb(changed.*) AS new_row FROM held, changed

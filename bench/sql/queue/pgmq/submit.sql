-- pgmq.send, in one statement with the status.
WITH changed AS (
    UPDATE volumes SET status = 'extending' WHERE id = $1 AND status = 'available' RETURNING id
)
INSERT INTO q_work (vt, message)
SELECT pg_catalog.clock_timestamp(), pg_catalog.jsonb_build_object('operation', 'extend', 'volume', id) FROM changed
RETURNING msg_id

-- pgmq.archive, in one statement with the status.
WITH done AS (
    DELETE FROM q_work WHERE msg_id = $1 RETURNING msg_id, vt, read_ct, enqueued_at, message, headers
), archived AS (
    INSERT INTO a_work (msg_id, vt, read_ct, enqueued_at, message, headers)
    SELECT msg_id, vt, read_ct, enqueued_at, message, headers FROM done
    RETURNING message
)
UPDATE volumes SET status = 'available', size = size + 1 FROM archived WHERE id = (message ->> 'volume')::uuid
RETURNING 1::bigint

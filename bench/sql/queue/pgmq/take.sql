-- pgmq.read, with a visibility timeout of a minute.
WITH next AS (
    SELECT msg_id FROM q_work WHERE vt <= pg_catalog.clock_timestamp() ORDER BY msg_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE q_work AS m SET vt = pg_catalog.clock_timestamp() + '1 minute', read_ct = read_ct + 1
FROM next WHERE m.msg_id = next.msg_id
RETURNING m.msg_id, (m.message ->> 'volume')::uuid

-- A view calls a function with the rights of the role that reads it.
CREATE FUNCTION volguard.waiting()
RETURNS TABLE (pid integer, role text, waits_for text, queue bigint, place integer, service_id bigint, resource_type text, resource_id text,
               lock_name text, clipped boolean, since timestamptz, behind_pid integer, behind_state text)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_waiting';
COMMENT ON FUNCTION volguard.waiting IS 'The calls that wait at this moment, as their sessions show it. The view waiters says more.';

CREATE FUNCTION volguard.wait_queue(resource_type text, resource_id text, lock_name text DEFAULT '')
RETURNS bigint IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_wait_queue';
COMMENT ON FUNCTION volguard.wait_queue IS 'The number of a lock''s wait queue, as pg_locks has it in classid and objid; with NULL for lock_name that of the work slot.';

CREATE FUNCTION volguard.why(resource_type text, resource_id text, lock_name text DEFAULT '')
RETURNS SETOF text VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_why';
COMMENT ON FUNCTION volguard.why IS 'Says in sentences who holds a lock, who waits for it, what a cleanup would do and what an operator can do.';

CREATE VIEW volguard.service_status AS
SELECT s.host, s.binary_name,
       CASE WHEN s.fenced_at IS NOT NULL THEN 'fenced'
            -- Values that volguard never writes, and whose sum may be out of range. As `sane!` of store/sql.rs.
            WHEN (s.heartbeat_at > '1000-01-01 00:00:00+00' AND s.heartbeat_at < '9999-01-01 00:00:00+00'
                  AND s.lease >= interval '100 ms' AND s.lease <= interval '8784 hours'
                  AND pg_catalog.date_part('day', s.lease) = 0 AND pg_catalog.date_part('month', s.lease) = 0
                  AND pg_catalog.date_part('year', s.lease) = 0) IS NOT TRUE THEN 'broken'
            -- A heartbeat that lies further ahead than a lease is of a clock that was set back since.
            WHEN s.heartbeat_at + s.lease > pg_catalog.clock_timestamp()
                AND s.heartbeat_at - s.lease <= pg_catalog.clock_timestamp() THEN 'up'
            ELSE 'down' END AS state,
       CASE WHEN pg_catalog.isfinite(s.heartbeat_at)
            THEN pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - s.heartbeat_at) END AS silent_for,
       (SELECT pg_catalog.count(*) FROM volguard.workers AS w WHERE w.service_id = s.service_id) AS held_locks,
       s.lease, s.service_id, s.cluster, s.heartbeat_at, s.registered_at, s.fenced_at, s.registered_by, s.details, s.owner,
       s.disabled, s.disabled_reason
FROM volguard.services AS s;
COMMENT ON VIEW volguard.service_status IS 'Every incarnation of a service: up, down (its lease is over), broken (a superuser has changed its lease or heartbeat) or fenced, and how many locks it holds.';

CREATE VIEW volguard.lock_status AS
SELECT w.resource_type, w.resource_id, w.lock_name, w.status, s.host,
       CASE WHEN w.service_id IS NOT NULL THEN coalesce(s.state = 'up', false) END AS alive,
       CASE WHEN pg_catalog.isfinite(w.acquired_at)
            THEN pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - w.acquired_at) END AS held_for,
       w.awaiting_reason, w.retry_at,
       w.token, w.service_id, s.binary_name, w.cluster, w.acquired_at, w.updated_at, w.request_id, w.crashed_service_id, w.details,
       w.work_id, nullif(w.operation, '') AS operation, nullif(w.host, '') AS for_host, w.priority, w.not_before, w.attempt, w.submitted_by
FROM volguard.workers AS w
-- LATERAL, so that each service is found by its key: the view of services can't be merged into this one, since the clock is volatile.
LEFT JOIN LATERAL (
    SELECT i.host, i.binary_name, i.state FROM volguard.service_status AS i WHERE i.service_id = w.service_id
) AS s ON true;
COMMENT ON VIEW volguard.lock_status IS 'Every lock and piece of work: its holder, whether that is alive, since when, and why work still waits for its cleanup.';

CREATE VIEW volguard.cluster_status AS
SELECT c.name AS cluster,
       CASE WHEN pg_catalog.count(*) FILTER (WHERE s.state = 'up') > 0 THEN 'up' ELSE 'down' END AS state,
       pg_catalog.count(*) FILTER (WHERE s.state = 'up') AS services_up,
       pg_catalog.count(*) FILTER (WHERE s.state = 'down') AS services_down,
       coalesce(pg_catalog.sum(s.held_locks), 0)::bigint AS held_locks,
       c.disabled, c.disabled_reason,
       pg_catalog.count(*) FILTER (WHERE s.state IN ('up', 'down')) AS services,
       pg_catalog.max(s.heartbeat_at) AS last_heartbeat, c.owner,
       (SELECT pg_catalog.count(*) FROM volguard.workers AS w WHERE w.cluster = c.name AND w.service_id IS NULL) AS waiting_work
FROM volguard.clusters AS c
LEFT JOIN volguard.service_status AS s ON s.cluster = c.name
GROUP BY c.name;
COMMENT ON VIEW volguard.cluster_status IS 'Every cluster: up if one of its services is up, how many are up and down, the last heartbeat.';

CREATE VIEW volguard.waiters AS
SELECT coalesce(h.resource_type, q.resource_type) AS resource_type, coalesce(h.resource_id, q.resource_id) AS resource_id,
       coalesce(h.lock_name, q.lock_name) AS lock_name, q.place, s.host, q.pid,
       pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - q.since) AS waited,
       t.host AS holder_host,
       CASE WHEN h.service_id IS NOT NULL THEN coalesce(t.state = 'up', false) END AS holder_alive,
       CASE WHEN q.behind_pid = pg_catalog.pg_backend_pid() THEN false WHEN h.token IS NOT NULL THEN true
            WHEN q.behind_pid IS NOT NULL THEN false END AS committed,
       q.waits_for, q.service_id, q.role, q.since,
       h.token AS holder_token, h.service_id AS holder_service_id, h.status AS holder_status,
       q.behind_pid, q.behind_state, q.clipped AND h.token IS NULL AS clipped, q.queue
FROM volguard.waiting() AS q
LEFT JOIN LATERAL (
    SELECT w.resource_type, w.resource_id, w.lock_name, w.token, w.service_id, w.status FROM volguard.workers AS w
    WHERE NOT q.clipped AND w.resource_id = q.resource_id AND w.resource_type = q.resource_type
      AND CASE q.waits_for WHEN 'work slot' THEN w.status IS NOT NULL ELSE w.lock_name = q.lock_name END
    UNION ALL
    -- The session could not show all of the names: the row is found by the number of its queue.
    SELECT w.resource_type, w.resource_id, w.lock_name, w.token, w.service_id, w.status FROM volguard.workers AS w
    WHERE q.clipped AND q.waits_for IN ('lock', 'work slot')
      AND (q.waits_for = 'lock' OR w.status IS NOT NULL)
      AND volguard.wait_queue(w.resource_type, w.resource_id, CASE q.waits_for WHEN 'lock' THEN w.lock_name END) = q.queue
    LIMIT 1
) AS h ON true
LEFT JOIN volguard.services AS s ON s.service_id = q.service_id
LEFT JOIN LATERAL (
    SELECT i.host, i.state FROM volguard.service_status AS i WHERE i.service_id = h.service_id
) AS t ON true
ORDER BY q.waits_for, q.queue, q.place;
COMMENT ON VIEW volguard.waiters IS 'Every call that waits: for which lock, at which place, since when, and who holds it.';

CREATE VIEW volguard.event_log AS
SELECT e.event_id, e.at, e.kind, e.cluster, e.service_id, e.resource_type, e.resource_id, e.lock_name, e.token, e.role, e.details
FROM volguard.events AS e;
COMMENT ON VIEW volguard.event_log IS 'Every event: its kind (fenced, cleaned, repaired, forced, reset, released, rule_failed, disabled, enabled, owner_changed, cluster_removed or session_ended), when, by which role, and on what.';

CREATE VIEW volguard.service_status AS
SELECT s.service_id, s.cluster, s.host, s.binary_name,
       CASE WHEN s.fenced_at IS NOT NULL THEN 'fenced'
            -- A heartbeat that lies further ahead than a lease is of a clock that was set back since.
            WHEN s.heartbeat_at + s.lease > pg_catalog.clock_timestamp()
                AND s.heartbeat_at - s.lease <= pg_catalog.clock_timestamp() THEN 'up'
            ELSE 'down' END AS state,
       s.lease, s.heartbeat_at, pg_catalog.clock_timestamp() - s.heartbeat_at AS silent_for,
       s.registered_at, s.fenced_at,
       (SELECT pg_catalog.count(*) FROM volguard.workers AS w WHERE w.service_id = s.service_id) AS held_locks,
       s.registered_by, s.details
FROM volguard.services AS s;
COMMENT ON VIEW volguard.service_status IS 'Every incarnation of a service: up, down (its lease is over) or fenced, and how many locks it holds.';

CREATE VIEW volguard.lock_status AS
SELECT w.cluster, w.resource_type, w.resource_id, w.lock_name, w.token, w.status,
       w.service_id, s.host, s.binary_name,
       coalesce(s.state = 'up', false) AS alive,
       w.acquired_at, w.updated_at, pg_catalog.clock_timestamp() - w.acquired_at AS held_for,
       w.request_id, w.details, w.crashed_service_id
FROM volguard.workers AS w
-- LATERAL, so that each service is found by its key: the view of services can't be merged into this one, since the clock is volatile.
LEFT JOIN LATERAL (
    SELECT i.host, i.binary_name, i.state FROM volguard.service_status AS i WHERE i.service_id = w.service_id
) AS s ON true;
COMMENT ON VIEW volguard.lock_status IS 'Every lock and piece of work: its holder, whether that is alive, since when. crashed_service_id: whose work it was before a claim.';

CREATE VIEW volguard.cluster_status AS
SELECT c.name AS cluster,
       CASE WHEN pg_catalog.count(*) FILTER (WHERE s.state = 'up') > 0 THEN 'up' ELSE 'down' END AS state,
       pg_catalog.count(s.service_id) AS services,
       pg_catalog.count(*) FILTER (WHERE s.state = 'up') AS services_up,
       pg_catalog.count(*) FILTER (WHERE s.state = 'down') AS services_down,
       pg_catalog.count(*) FILTER (WHERE s.state = 'fenced') AS services_fenced,
       coalesce(pg_catalog.sum(s.held_locks), 0)::bigint AS held_locks,
       pg_catalog.max(s.heartbeat_at) AS last_heartbeat,
       c.disabled, c.disabled_reason
FROM volguard.clusters AS c
LEFT JOIN volguard.service_status AS s ON s.cluster = c.name
GROUP BY c.name;
COMMENT ON VIEW volguard.cluster_status IS 'Every cluster: up if one of its services is up, how many there are in each state, the last heartbeat.';

CREATE VIEW volguard.event_log AS
SELECT e.event_id, e.at, e.kind, e.cluster, e.service_id, e.resource_type, e.resource_id, e.lock_name, e.token, e.role, e.details
FROM volguard.events AS e;
COMMENT ON VIEW volguard.event_log IS 'Every event: its kind (fenced, cleaned, forced, reset, rule_failed, disabled or enabled), when, by which role, and on what.';

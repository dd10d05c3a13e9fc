-- event_log: events of services and locks that their holders did not cause themselves.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_event_reader;
RESET client_min_messages;
CREATE ROLE regress_event_reader;
SELECT volguard.grant_usage('regress_event_reader');
-- The events of this file; its services are named by their hosts.
CREATE VIEW ours AS
SELECT e.event_id, kind, e.cluster, s.host AS service, resource_type || ' ' || resource_id || coalesce(' ' || nullif(lock_name, ''), '') AS lock, token IS NOT NULL AS has_token, role = CURRENT_USER AS mine, e.details - 'silent_seconds' AS details
FROM volguard.event_log AS e LEFT JOIN volguard.services AS s USING (service_id) WHERE e.cluster LIKE 'event%' OR resource_type LIKE 'event%';

-- A service's calls on its own locks leave no event, nor does a call that was refused or had nothing to do.
SELECT volguard.register_service('node-1', 'volume', 'event') AS one, volguard.register_service('node-2', 'volume', 'event') AS two \gset
SELECT volguard.acquire(:one, 'event', 'e-1') AS token \gset
SELECT volguard.acquire(:two, 'event', 'e-1') AS refused, volguard.set_status(:token, 'creating'), volguard.release(:token), volguard.heartbeat(:one), volguard.reconcile(:one, '{}'), volguard.release_requests(:one, '{}');
SELECT volguard.force_release(:token, 'gone'), volguard.reset_resource('event', 'e-1');
SET ROLE regress_event_reader;
\set VERBOSITY sqlstate
SELECT volguard.deregister_service(:one);
RESET ROLE;
SELECT volguard.cleanup(service_id => :one);
\set VERBOSITY default
SELECT count(*) FROM volguard.cleanup(cluster => 'event');
SELECT * FROM ours;

-- Fenced: by the next incarnation, by itself, by a cleanup, whose event says what it did.
SELECT volguard.register_service('node-1', 'volume', 'event') \gset
SELECT volguard.acquire(:two, 'event', 'e-1') AS token, volguard.acquire(:two, 'event', 'e-2', status => 'creating') AS work \gset
SELECT volguard.deregister_service(:two);
SELECT volguard.register_service('node-3', 'volume', 'event') AS three \gset
SELECT volguard.acquire(:three, 'event', 'e-1') AS token, volguard.acquire(:three, 'event', 'e-3') \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :three;
SELECT locks_released FROM volguard.cleanup(service_id => :three);
SELECT service, kind, mine, details FROM ours ORDER BY event_id;
SELECT details->'silent_seconds' > '3600' AS an_hour FROM volguard.event_log WHERE service_id = :three AND kind = 'fenced';
-- Waiting work is no event: a cleanup that runs every second finds the same each time.
SELECT awaiting FROM volguard.cleanup(cluster => 'event');
SELECT awaiting FROM volguard.cleanup(cluster => 'event');
SELECT count(*) FROM ours;

-- A rule that failed: one event with its error per hour, however often it is tried.
CREATE TABLE event_volumes (id text PRIMARY KEY, status text CHECK (status <> 'error'));
INSERT INTO event_volumes VALUES ('e-2', 'creating');
SELECT volguard.track_resource('event', 'event_volumes'), volguard.on_crash('event', 'creating', '{"status": "error"}');
SET client_min_messages = error;
SELECT state, awaiting FROM volguard.cleanup(cluster => 'event');
SELECT state, awaiting FROM volguard.cleanup(cluster => 'event');
SELECT kind, lock, mine, details FROM ours WHERE kind = 'rule_failed';
UPDATE volguard.events SET at = at - interval '1 hour' WHERE kind = 'rule_failed' AND resource_type = 'event';
SELECT state, awaiting FROM volguard.cleanup(cluster => 'event');
SELECT count(*) FROM ours WHERE kind = 'rule_failed';
-- One broken rule doesn't fill the log: at most a hundred events of a type in an hour.
INSERT INTO event_volumes SELECT 'm-' || i, 'creating' FROM generate_series(1, 150) AS i;
SELECT volguard.register_service('node-4', 'volume', 'event') AS four \gset
SELECT count(volguard.acquire(:four, 'event', id, status => 'creating')) FROM event_volumes WHERE id LIKE 'm-%';
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :four;
SELECT FROM volguard.cleanup(service_id => :four) \g /dev/null
SELECT awaiting FROM volguard.cleanup(service_id => :four);
SELECT count(*) FROM ours WHERE kind = 'rule_failed';
RESET client_min_messages;
-- Repaired.
SELECT volguard.on_crash('event', 'creating', '{"status": "broken"}');
SELECT resources_cleaned FROM volguard.cleanup(service_id => :four);
SELECT service, kind, details FROM ours ORDER BY event_id DESC LIMIT 1;

-- A rolled back transaction or savepoint leaves no row and no line in the server log. Lines are written at the commit.
SELECT volguard.register_service('node-5', 'volume', 'event') \gset five_
SET client_min_messages = log;
UPDATE volguard.clusters SET disabled = false WHERE name = 'event';
BEGIN;
SELECT volguard.set_cluster_disabled('event', true, 'rolled back');
ROLLBACK;
BEGIN;
SELECT volguard.set_cluster_disabled('event', true, 'first');
SAVEPOINT one;
SELECT volguard.set_cluster_disabled('event', true, 'in a savepoint that goes');
ROLLBACK TO one;
SAVEPOINT two;
SAVEPOINT three;
SELECT volguard.set_cluster_disabled('event', true, 'in one that stays');
RELEASE three;
RELEASE two;
COMMIT;
RESET client_min_messages;
SELECT kind, details FROM ours WHERE kind = 'disabled' ORDER BY event_id;

-- Older events are removed, here by a cleanup that has nothing else to do.
UPDATE volguard.events SET at = at - interval '8 days' WHERE cluster = 'event' AND kind = 'disabled';
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT count(*) FROM ours WHERE kind = 'disabled';
SET volguard.event_retention = '9 d';
SELECT count(*) AS before FROM ours \gset
UPDATE volguard.events SET at = at - interval '8 days';
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT count(*) = :before AS all_kept FROM ours;
-- Beyond the maximum number the oldest events are removed; a call that records an event trims.
SET volguard.max_events = 10;
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        PERFORM volguard.set_cluster_disabled('event', true, 'for the ' || i || '. time');
    END LOOP;
END
$$;
SELECT count(*) BETWEEN 10 AND 110 AS bounded FROM volguard.event_log WHERE kind NOT IN ('forced', 'reset');
-- Also where each second number of the sequence goes to a token. What an operator did is kept for its age alone.
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        PERFORM volguard.force_release(volguard.acquire(service_id, 'event', 'trimmed'), 'test') FROM volguard.services WHERE cluster = 'event' AND fenced_at IS NULL LIMIT 1;
        PERFORM volguard.set_cluster_disabled('event', i % 2 = 0);
    END LOOP;
END
$$;
SELECT by_age, count(*) BETWEEN 10 AND 110 AS bounded, count(*) >= 200 AS all_kept FROM volguard.events GROUP BY 1 ORDER BY 1;
SELECT volguard.set_cluster_disabled('event', true, 'for the last time');
SELECT details FROM ours ORDER BY event_id DESC LIMIT 1;
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT by_age, count(*) >= 200 AS all_kept, count(*) FILTER (WHERE NOT by_age) FROM volguard.events GROUP BY 1 ORDER BY 1;
UPDATE volguard.events SET at = at - interval '10 days' WHERE by_age;
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT count(*) FROM volguard.event_log;
-- With a maximum of zero no rows are kept, but log lines are still written.
SET volguard.event_retention = 0;
SET client_min_messages = log;
SELECT volguard.set_cluster_disabled('event', false);
RESET client_min_messages;
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT count(*) FROM volguard.event_log;
RESET volguard.event_retention;
SET volguard.max_events = 0;
SELECT volguard.set_cluster_disabled('event', true);
SELECT count(*) FROM volguard.event_log;
RESET volguard.max_events;

-- Readable with the grant, and writable for no user role.
SET ROLE regress_event_reader;
SELECT count(*) FROM volguard.event_log;
SELECT count(*) FROM volguard.events; :code
DELETE FROM volguard.event_log; :code
INSERT INTO volguard.event_log (kind) VALUES ('forced'); :code
RESET ROLE;

DELETE FROM volguard.resources WHERE resource_type = 'event';
DELETE FROM volguard.workers WHERE cluster = 'event';
DELETE FROM volguard.services WHERE cluster = 'event';
DROP VIEW ours;
DROP TABLE event_volumes;
DROP OWNED BY regress_event_reader;
DROP ROLE regress_event_reader;

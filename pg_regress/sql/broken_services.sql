-- Services whose lease or heartbeat a superuser has changed to what makes no sense: every call goes on without them.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'broken') AS broken, volguard.register_service('node-2', 'volume', 'broken') AS dead,
       volguard.register_service('node-3', 'volume', 'broken') AS alive \gset
SELECT volguard.acquire(:broken, 'broken', 'b-1') AS plain, volguard.acquire(:broken, 'broken', 'b-2', status => 'creating') AS work \gset
ALTER TABLE volguard.services DROP CONSTRAINT services_lease_check, ALTER heartbeat_at DROP NOT NULL, ALTER lease DROP NOT NULL;

-- One value after the other. The broken service holds up no other one: a dead one is cleaned up at each turn.
CREATE FUNCTION pg_temp.try(broken bigint, dead bigint, alive bigint, plain bigint, heartbeat_at text, lease text, OUT state text, OUT silent boolean, OUT holds boolean, OUT others text, OUT claims bigint, OUT clusters text)
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE volguard.services AS s SET heartbeat_at = $5::timestamptz, lease = $6::interval WHERE service_id = broken;
    UPDATE volguard.services AS s SET heartbeat_at = s.registered_at - interval '1 hour', fenced_at = NULL WHERE service_id = dead;
    INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, acquired_at, updated_at) VALUES ('broken', 'broken', 'd-1', '', -1, dead, now(), now());
    SELECT s.state, s.silent_for IS NOT NULL INTO state, silent FROM volguard.service_status AS s WHERE service_id = broken;
    SELECT string_agg(c.host || ' ' || c.state || ' ' || c.locks_released, ', ') INTO others FROM volguard.cleanup(cluster => 'broken') AS c;
    PERFORM volguard.auto_cleanup('broken');
    -- Its locks stay its own: it may be alive.
    holds := volguard.acquire(alive, 'broken', 'b-1') IS NULL AND volguard.acquire(alive, 'broken', 'b-1', wait => '10 ms') IS NULL;
    PERFORM volguard.assert_held(plain);
    SELECT count(*) INTO claims FROM volguard.claim_cleanup(alive);
    SELECT c.state || ' ' || services_up INTO clusters FROM volguard.cluster_status AS c WHERE c.cluster = 'broken';
    PERFORM FROM volguard.lock_status;
END
$$;
SET client_min_messages = error;
SELECT heartbeat, lease, t.* FROM (VALUES
    (1, 'infinity', '1 min'), (2, '-infinity', '1 min'), (3, '294276-12-31 23:59:59 UTC', '1 min'), (4, '4714-11-24 00:00:00 UTC BC', '1 min'), (5, NULL, '1 min'),
    (6, 'now', '294000 years -105840000 days 1 second'), (7, 'now', '-1 hour'), (8, 'now', '0'), (9, 'now', '1 mon -30 days 1 s'), (10, 'now', '1 day'), (11, 'now', '178000000 years'),
    (12, 'now', '-178000000 years'), (13, 'now', '2562047788 hours'), (14, 'now', NULL), (15, 'infinity', '-178000000 years')) AS v (number, heartbeat, lease),
    pg_temp.try(:broken, :dead, :alive, :plain, heartbeat, lease) AS t ORDER BY number;
RESET client_min_messages;
-- Without a look at the values first, each statement would fail.
UPDATE volguard.services SET heartbeat_at = now(), lease = '178000000 years' WHERE service_id = :broken;
SELECT heartbeat_at + lease > now() FROM volguard.services WHERE service_id = :broken;

-- Cleanups say what they leave alone.
\set VERBOSITY sqlstate
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT count(*) FROM volguard.auto_cleanup('no such cluster');
-- The service itself gets no more locks.
SELECT volguard.acquire(:broken, 'broken', 'b-3');
SELECT volguard.cleanup(service_id => :broken);
\set VERBOSITY default
-- An operator ends it, and so does the next incarnation. Then it is as dead as any.
BEGIN;
SELECT volguard.register_service('node-1', 'volume', 'broken') > :broken AS registered;
SELECT details FROM volguard.event_log WHERE service_id = :broken;
SELECT state, locks_released, awaiting FROM volguard.cleanup(service_id => :broken);
ROLLBACK;
UPDATE volguard.services SET heartbeat_at = 'infinity' WHERE service_id = :broken;
SELECT volguard.fence_service(:broken, 'it makes no sense');
SELECT details FROM volguard.event_log WHERE service_id = :broken;
SELECT state, locks_released, awaiting FROM volguard.cleanup(service_id => :broken);
-- Of a fenced one, too, lease and time are only looked at where they make sense.
UPDATE volguard.services SET fenced_at = 'infinity' WHERE service_id = :broken;
SELECT resource_id FROM volguard.claim_cleanup(:alive);
SELECT state, held_locks FROM volguard.service_status WHERE service_id = :broken;

-- A heartbeat mends what it can.
SELECT volguard.register_service('node-5', 'volume', 'broken') AS mended \gset
UPDATE volguard.services SET heartbeat_at = '-infinity' WHERE service_id = :mended;
SELECT volguard.heartbeat(:mended), volguard.acquire(:mended, 'broken', 'b-5') IS NOT NULL AS got;

DELETE FROM volguard.workers WHERE resource_type = 'broken';
DELETE FROM volguard.services;
ALTER TABLE volguard.services ADD CONSTRAINT services_lease_check CHECK (
    lease >= interval '100 ms' AND lease <= interval '8784 hours' AND pg_catalog.date_part('day', lease) = 0
    AND pg_catalog.date_part('month', lease) = 0 AND pg_catalog.date_part('year', lease) = 0), ALTER heartbeat_at SET NOT NULL, ALTER lease SET NOT NULL;

-- acquire meets a lock whose holder is dead: volguard.auto_cleanup, and what stays locked nevertheless.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE acqdead_volumes (id text PRIMARY KEY, status text);
INSERT INTO acqdead_volumes VALUES ('ruled', 'creating'), ('unruled', 'deleting'), ('broken', 'extending'), ('stale', 'available');
SELECT volguard.track_resource('acqdead', 'acqdead_volumes');
SELECT volguard.on_crash('acqdead', 'creating', '{"status": "error"}');
SELECT volguard.register_service('node-1', 'volume', 'acqdead') AS alive \gset

-- A holder that is late, with a plain lock and with work of every kind.
CREATE FUNCTION pg_temp.dead() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    dead bigint := volguard.register_service('node-2', 'volume', 'acqdead');
BEGIN
    DELETE FROM volguard.workers WHERE cluster = 'acqdead';
    PERFORM volguard.acquire(dead, 'acqdead', 'plain');
    PERFORM volguard.acquire(dead, 'acqdead', id, 'work', status) FROM (VALUES ('ruled', 'creating'), ('unruled', 'deleting'), ('stale', 'creating')) AS work (id, status);
    PERFORM volguard.acquire(dead, 'acqdead-untracked', 'u-1', 'work', 'creating');
    UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = dead;
    RETURN dead;
END
$$;
SELECT pg_temp.dead() AS dead \gset

-- With auto_cleanup off, the lock of a dead holder is as taken as that of a live one, and no service is fenced.
SET volguard.auto_cleanup = off;
SELECT volguard.acquire(:alive, 'acqdead', 'plain') AS refused, volguard.acquire(:alive, 'acqdead', 'plain', wait => '20 ms') AS refused;
SELECT state, held_locks FROM volguard.service_status WHERE service_id = :dead;
RESET volguard.auto_cleanup;

-- Its plain lock goes to the first caller, without a wait, and the same statement fences the holder. What else it had is
-- left to a cleanup.
SELECT volguard.acquire(:alive, 'acqdead', 'plain') AS token \gset
SELECT :token > 0 AS got;
SELECT state FROM volguard.service_status WHERE service_id = :dead;
SELECT resource_id, service_id = :alive AS of_the_living, status FROM volguard.lock_status WHERE cluster = 'acqdead' ORDER BY 1;
SELECT * FROM acqdead_volumes ORDER BY id;

-- Work that no rule can repair keeps its lock. Neither the key nor the work slot is free; a refusal writes nothing.
BEGIN;
SELECT volguard.acquire(:alive, 'acqdead', 'unruled', 'work') AS key, volguard.acquire(:alive, 'acqdead', 'unruled', 'work', wait => '20 ms') AS key_waited,
       volguard.acquire(:alive, 'acqdead', 'unruled', status => 'deleting') AS slot, volguard.acquire(:alive, 'acqdead-untracked', 'u-1', 'work') AS untracked;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT count(*) FROM volguard.workers WHERE service_id = :dead;
SELECT * FROM acqdead_volumes WHERE id = 'unruled';

-- Work with a rule is repaired on the way, and the call gets the lock. A rule takes time: without a wait the call is
-- refused, and writes nothing.
SELECT pg_temp.dead() AS dead \gset
UPDATE acqdead_volumes SET status = 'creating' WHERE id = 'ruled';
BEGIN;
SELECT volguard.acquire(:alive, 'acqdead', 'ruled', 'work') AS refused;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT volguard.acquire(:alive, 'acqdead', 'ruled', 'work', wait => '1 min') > :token AS got;
SELECT status FROM acqdead_volumes WHERE id = 'ruled';
SELECT state FROM volguard.service_status WHERE service_id = :dead;
-- The same by its work slot.
SELECT pg_temp.dead() AS dead \gset
UPDATE acqdead_volumes SET status = 'creating' WHERE id = 'ruled';
SELECT volguard.acquire(:alive, 'acqdead', 'ruled', status => 'deleting', wait => '1 min') > :token AS got;
SELECT status FROM acqdead_volumes WHERE id = 'ruled';
-- A resource whose status has changed is left alone, and its lock is free.
SELECT pg_temp.dead() AS dead \gset
SELECT volguard.acquire(:alive, 'acqdead', 'stale', 'work', wait => '1 min') > :token AS got;
SELECT status FROM acqdead_volumes WHERE id = 'stale';

-- A rule that fails frees nothing, and the changes of the attempt are undone: the service isn't even fenced. What has
-- failed in a cleanup is not tried again before its time.
CREATE FUNCTION acqdead_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this one'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON acqdead_volumes FOR EACH ROW WHEN (OLD.id = 'broken') EXECUTE FUNCTION acqdead_refuse();
SELECT volguard.on_crash('acqdead', 'extending', '{"status": "error"}');
SELECT volguard.register_service('node-3', 'volume', 'acqdead') AS dead \gset
SELECT volguard.acquire(:dead, 'acqdead', 'broken', status => 'extending') IS NOT NULL AS got;
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :dead;
SELECT volguard.acquire(:alive, 'acqdead', 'broken') AS refused;
-- A waiter tries it once, not at every wake-up.
SELECT volguard.acquire(:alive, 'acqdead', 'broken', wait => '2500 ms') AS refused;
SELECT state, held_locks FROM volguard.service_status WHERE service_id = :dead;
SELECT status FROM acqdead_volumes WHERE id = 'broken';
-- Its plain locks are not its hostages.
UPDATE volguard.services SET fenced_at = clock_timestamp() WHERE service_id = :dead;
INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, acquired_at, updated_at) VALUES ('acqdead', 'acqdead', 'beside', '', 1, :dead, now(), now());
SELECT volguard.acquire(:alive, 'acqdead', 'beside') IS NOT NULL AS got;
SELECT state, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT awaiting_reason, retry_at > clock_timestamp() AS put_off FROM volguard.workers WHERE service_id = :dead;
SELECT volguard.acquire(:alive, 'acqdead', 'broken', wait => '20 ms') AS refused;

-- The row of the holder is gone: its lock has no owner.
SELECT pg_temp.dead() AS dead \gset
DELETE FROM volguard.services WHERE service_id = :dead;
SELECT volguard.acquire(:alive, 'acqdead', 'plain') > :token AS got;

-- A live holder is never touched: the lease decides.
SELECT volguard.register_service('node-4', 'volume', 'acqdead') AS holder \gset
SELECT volguard.acquire(:holder, 'acqdead', 'lease') IS NOT NULL AS got;
SELECT volguard.acquire(:alive, 'acqdead', 'lease', wait => '20 ms') AS refused;
BEGIN;
UPDATE volguard.services SET heartbeat_at = heartbeat_at - lease WHERE service_id = :holder;
SELECT volguard.acquire(:alive, 'acqdead', 'lease') IS NOT NULL AS got;
ROLLBACK;
-- The head of the wait queue knows when the lease ends, and wakes up then, long before its wait is over.
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease + interval '300 ms' WHERE service_id = :holder;
SELECT clock_timestamp() AS started \gset
SELECT volguard.acquire(:alive, 'acqdead', 'lease', wait => '5 min') IS NOT NULL AS got;
SELECT clock_timestamp() - :'started' < '30 s' AS in_time;

-- Under the other isolation levels too.
SELECT pg_temp.dead() AS dead \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.acquire(:alive, 'acqdead', 'plain') IS NOT NULL AS got;
COMMIT;
SELECT state FROM volguard.service_status WHERE service_id = :dead;
SELECT pg_temp.dead() AS dead \gset
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.acquire(:alive, 'acqdead', 'plain') IS NOT NULL AS got;
COMMIT;
SELECT state FROM volguard.service_status WHERE service_id = :dead;

DELETE FROM volguard.workers WHERE cluster = 'acqdead';
DELETE FROM volguard.resources WHERE resource_type = 'acqdead';
DROP TABLE acqdead_volumes;
DROP FUNCTION acqdead_refuse;

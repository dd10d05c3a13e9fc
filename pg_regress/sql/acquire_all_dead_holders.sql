-- acquire_all meets locks whose holders are dead: all are cleaned up, or none is touched.
CREATE TABLE alldead_volumes (id text PRIMARY KEY, status text);
INSERT INTO alldead_volumes VALUES ('ruled', 'creating'), ('broken', 'extending'), ('unruled', 'deleting');
SELECT volguard.track_resource('alldead', 'alldead_volumes');
SELECT volguard.on_crash('alldead', 'creating', '{"status": "error"}'), volguard.on_crash('alldead', 'extending', '{"status": "error"}');
CREATE FUNCTION alldead_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this one'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON alldead_volumes FOR EACH ROW WHEN (OLD.id = 'broken') EXECUTE FUNCTION alldead_refuse();
CREATE FUNCTION pg_temp.volumes(VARIADIC ids text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('resource_type', 'alldead', 'resource_id', id) ORDER BY position) FROM unnest(ids) WITH ORDINALITY AS v (id, position)
$$;

-- Three holders, two of them late. Each has a plain lock, and
-- work with a rule, with a rule that fails, and without a rule.
CREATE FUNCTION pg_temp.holders() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    late_1 bigint := volguard.register_service('late-1', 'volume', 'alldead');
    late_2 bigint := volguard.register_service('late-2', 'volume', 'alldead');
    living bigint := volguard.register_service('living', 'volume', 'alldead');
BEGIN
    DELETE FROM volguard.workers WHERE cluster = 'alldead';
    UPDATE alldead_volumes SET status = 'creating' WHERE id = 'ruled';
    PERFORM volguard.acquire(late_1, 'alldead', 'plain-1');
    PERFORM volguard.acquire(late_1, 'alldead', 'ruled', status => 'creating');
    PERFORM volguard.acquire(late_2, 'alldead', 'plain-2');
    PERFORM volguard.acquire(late_2, 'alldead', 'unruled', 'work', status => 'deleting');
    PERFORM volguard.acquire(living, 'alldead', 'living');
    UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id IN (late_1, late_2);
END
$$;
CREATE TEMP VIEW holders AS
SELECT host, state, held_locks FROM volguard.service_status WHERE cluster = 'alldead' AND host LIKE 'l%' AND registered_at = (
    SELECT max(o.registered_at) FROM volguard.services AS o WHERE o.cluster = 'alldead' AND o.host = service_status.host) ORDER BY host;
SELECT volguard.register_service('node-1', 'volume', 'alldead') AS me \gset

-- With auto_cleanup off, nothing is cleaned up.
SELECT pg_temp.holders();
SET volguard.auto_cleanup = off;
SELECT * FROM volguard.acquire_all(:me, pg_temp.volumes('plain-1', 'free'));
RESET volguard.auto_cleanup;
SELECT * FROM holders;

-- With one live holder, nothing is cleaned up and nothing is written.
BEGIN;
SELECT * FROM volguard.acquire_all(:me, pg_temp.volumes('plain-1', 'living', 'plain-2'));
SELECT * FROM volguard.acquire_all(:me, pg_temp.volumes('plain-1', 'living', 'plain-2'), wait => '20 ms');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT * FROM holders;
-- Work without a rule counts as held by a live holder, by its key and by its work slot.
BEGIN;
SELECT * FROM volguard.acquire_all(:me, '[{"resource_type": "alldead", "resource_id": "plain-1"}, {"resource_type": "alldead", "resource_id": "unruled", "lock_name": "work"}]');
SELECT * FROM volguard.acquire_all(:me, '[{"resource_type": "alldead", "resource_id": "plain-1"}, {"resource_type": "alldead", "resource_id": "unruled", "status": "deleting"}]', wait => '20 ms');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT * FROM holders;

-- All holders are dead: the locks are cleared on the way, and the work by its rule. Without a wait no rule is run.
BEGIN;
SELECT resource_id FROM volguard.acquire_all(:me, pg_temp.volumes('plain-2', 'ruled', 'free', 'plain-1'));
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT resource_id FROM volguard.acquire_all(:me, pg_temp.volumes('plain-2', 'ruled', 'free', 'plain-1'), wait => '1 min');
SELECT * FROM holders;
SELECT * FROM alldead_volumes ORDER BY id;
SELECT resource_id, lock_name, service_id = :me AS mine, status FROM volguard.workers WHERE cluster = 'alldead' ORDER BY 1;

-- A rule that fails for one of two holders: no lock is taken, and
-- what was cleared of the other one is undone. A waiter tries it once.
SELECT pg_temp.holders();
SELECT service_id AS late FROM volguard.services WHERE cluster = 'alldead' AND host = 'late-2' AND fenced_at IS NULL \gset
UPDATE volguard.services SET heartbeat_at = clock_timestamp() WHERE service_id = :late;
SELECT volguard.acquire(:late, 'alldead', 'broken', status => 'extending') IS NOT NULL AS got;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease WHERE service_id = :late;
SELECT * FROM volguard.acquire_all(:me, pg_temp.volumes('plain-1', 'broken'));
SELECT * FROM volguard.acquire_all(:me, pg_temp.volumes('plain-1', 'broken'), wait => '2500 ms');
SELECT * FROM holders;
SELECT * FROM alldead_volumes ORDER BY id;

-- A waiter knows when the lease of a live holder ends, and wakes up then; the dead holder is cleaned up with it.
SELECT pg_temp.holders();
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease + interval '300 ms' WHERE cluster = 'alldead' AND host = 'living' AND fenced_at IS NULL;
SELECT clock_timestamp() AS started \gset
SELECT resource_id FROM volguard.acquire_all(:me, pg_temp.volumes('living', 'plain-1', 'free'), wait => '5 min');
SELECT clock_timestamp() - :'started' < '30 s' AS in_time;
SELECT * FROM holders;

-- A holder whose row is gone: its locks have no owner.
SELECT pg_temp.holders();
DELETE FROM volguard.services WHERE cluster = 'alldead' AND host LIKE 'late-%';
SELECT resource_id FROM volguard.acquire_all(:me, pg_temp.volumes('plain-2', 'plain-1'));

-- Under the other isolation levels too.
SELECT pg_temp.holders();
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT resource_id FROM volguard.acquire_all(:me, pg_temp.volumes('plain-1', 'plain-2'));
COMMIT;
SELECT * FROM holders;

DELETE FROM volguard.workers WHERE cluster = 'alldead';
DELETE FROM volguard.resources WHERE resource_type = 'alldead';
DROP TABLE alldead_volumes;
DROP FUNCTION alldead_refuse;

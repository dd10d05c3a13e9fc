-- cleanup: dead services are fenced, their locks freed, their work repaired. crash_rules has what rules may do.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE cleanup_volumes (id text PRIMARY KEY, status text, previous_status text);
SELECT volguard.track_resource('cleanup', 'cleanup_volumes');
SELECT volguard.on_crash('cleanup', 'creating', '{"status": "error", "previous_status": {"column": "status"}}');
SELECT volguard.register_service('node-1', 'volume', 'clean') AS alive \gset
-- A service with two plain locks and work in all possible states; late, unless the argument says otherwise.
CREATE FUNCTION pg_temp.crashed(host text, late boolean DEFAULT true) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    service bigint := volguard.register_service(host, 'volume', 'clean');
BEGIN
    DELETE FROM volguard.workers WHERE cluster = 'clean';
    TRUNCATE cleanup_volumes;
    INSERT INTO cleanup_volumes VALUES ('ruled', 'creating'), ('unruled', 'deleting'), ('moved on', 'available'), ('bystander', 'creating');
    PERFORM volguard.acquire(service, 'cleanup', 'plain', 'lock-' || i) FROM generate_series(1, 2) AS i;
    PERFORM volguard.acquire(service, 'cleanup', id, status => status)
    FROM (VALUES ('ruled', 'creating'), ('unruled', 'deleting'), ('moved on', 'creating'), ('gone', 'creating')) AS work (id, status);
    PERFORM volguard.acquire(service, 'untracked', 'work', status => 'sleeping');
    IF late THEN
        UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = service;
    END IF;
    RETURN service;
END
$$;
CREATE TEMP VIEW left_over AS SELECT resource_type, resource_id, lock_name, status FROM volguard.workers WHERE cluster = 'clean' ORDER BY 1, 2, 3;

-- One dead service: the first round fences it and frees its plain locks, the second one repairs its work.
SELECT pg_temp.crashed('node-2') AS dead \gset
SELECT service_id = :dead AS dead, cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'clean');
SELECT service_id = :dead AS dead, cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'clean');
SELECT * FROM left_over;
SELECT * FROM cleanup_volumes ORDER BY id;
SELECT state, held_locks FROM volguard.service_status WHERE service_id = :dead;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:dead);
\set VERBOSITY default
-- Every cleanup looks at the waiting work again; rules that were added later repair it.
SELECT service_id = :dead AS dead, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'clean');
SELECT volguard.on_crash('cleanup', 'deleting', '{"status": "error_deleting"}');
SELECT service_id = :dead AS dead, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'clean');
SELECT * FROM left_over;
SELECT status FROM cleanup_volumes WHERE id = 'unruled';
DELETE FROM volguard.workers WHERE service_id = :dead;
SELECT count(*) AS nothing_left FROM volguard.cleanup(cluster => 'clean');
SELECT volguard.on_crash('cleanup', 'deleting', NULL);

-- Live services are not touched, named or not.
SELECT pg_temp.crashed('node-2', late => false) AS living \gset
SELECT count(*) FROM volguard.cleanup(cluster => 'clean');
\set VERBOSITY sqlstate
SELECT * FROM volguard.cleanup(service_id => :living);
SELECT * FROM volguard.cleanup(service_id => :alive, host => 'node-1');
\set VERBOSITY default
SELECT * FROM volguard.cleanup(service_id => -1); :code
SELECT count(*) FROM left_over;
SELECT status FROM cleanup_volumes WHERE id = 'ruled';
SELECT state FROM volguard.service_status WHERE cluster = 'clean' AND fenced_at IS NULL ORDER BY host;

-- Services fenced by a new incarnation or an orderly stop, before their lease is over.
SELECT volguard.register_service('node-2', 'volume', 'clean') AS successor \gset
SELECT service_id = :living AS predecessor, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :living);
SELECT service_id = :living AS predecessor, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :living);
SELECT volguard.heartbeat(:successor);
SELECT pg_temp.crashed('node-2', late => false) AS living \gset
SELECT volguard.deregister_service(:living);
SELECT service_id = :living AS stopped, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :living);

-- A dead service that holds nothing is fenced too; after that there is nothing to report.
SELECT volguard.register_service('node-3', 'volume', 'clean') AS idle \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - lease WHERE service_id = :idle;
SELECT service_id = :idle AS idle, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :idle);
SELECT state FROM volguard.service_status WHERE service_id = :idle;
SELECT count(*) FROM volguard.cleanup(service_id => :idle);

-- NULL for every argument means no filter. (The warnings would be about rows of other files.)
SELECT pg_temp.crashed('node-2') AS dead \gset
BEGIN;
SET LOCAL client_min_messages = error;
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting
FROM volguard.cleanup(service_id => NULL, cluster => NULL, host => NULL, binary_name => NULL, disabled => NULL, resource_type => NULL, resource_id => NULL, until => NULL) WHERE service_id = :dead;
ROLLBACK;
-- Filters that are empty or too long.
SELECT * FROM volguard.cleanup(cluster => ''); :code
SELECT * FROM volguard.cleanup(host => ''); :code
SELECT * FROM volguard.cleanup(binary_name => ''); :code
SELECT * FROM volguard.cleanup(resource_type => ''); :code
SELECT * FROM volguard.cleanup(resource_id => ''); :code
SELECT * FROM volguard.cleanup(cluster => repeat('c', 256)); :code
SELECT * FROM volguard.cleanup(resource_id => repeat('r', 1025)); :code
SELECT count(*) FROM left_over;

-- Retention: a fenced service without rows is removed after a while, by the next cleanup of any kind.
UPDATE volguard.services SET fenced_at = now() - interval '23 hours' WHERE service_id = :idle;
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT count(*) FROM volguard.services WHERE service_id = :idle;
UPDATE volguard.services SET fenced_at = now() - interval '25 hours' WHERE cluster = 'clean' AND fenced_at IS NOT NULL OR service_id = :dead;
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT service_id = :dead AS has_rows, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'clean' ORDER BY service_id;
SELECT volguard.register_service('node-3', 'volume', 'clean') AS idle, volguard.deregister_service(volguard.register_service('node-4', 'volume', 'clean')) \gset
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :idle;
SET volguard.service_retention = 0;
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
RESET volguard.service_retention;
SELECT count(*) FROM volguard.services WHERE service_id = :idle;

-- Everything commits with the transaction, or nothing does; and no lock outlives it.
BEGIN;
SAVEPOINT before;
SELECT state, locks_released FROM volguard.cleanup(service_id => :dead);
ROLLBACK TO before;
SELECT count(*) FROM left_over;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :dead);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :dead);
COMMIT;
-- What a transaction has fenced itself it does not repair: the fence is not committed, and another call would do nothing.
SELECT pg_temp.crashed('node-2') AS dead \gset
BEGIN;
SELECT state, locks_released, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT state, awaiting FROM volguard.cleanup(service_id => :dead);
COMMIT;
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :dead);
-- A cleanup with nothing to do writes nothing.
DELETE FROM volguard.workers WHERE service_id = :dead;
SELECT count(*) FROM volguard.cleanup(cluster => 'clean');
BEGIN;
SELECT count(*) FROM volguard.cleanup(cluster => 'clean');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT pg_temp.crashed('node-2') AS dead \gset
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT * FROM volguard.cleanup(service_id => :dead);
\set VERBOSITY default
ROLLBACK;

DELETE FROM volguard.workers WHERE cluster = 'clean';
DELETE FROM volguard.resources WHERE resource_type = 'cleanup';
DROP TABLE cleanup_volumes;

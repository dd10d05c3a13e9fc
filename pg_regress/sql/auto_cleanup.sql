-- auto_cleanup: the call of a periodic task. It cleans what is due, once, and otherwise does nothing. The specs show
-- how two of these calls meet.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE auto_volumes (id text PRIMARY KEY, status text);
SELECT volguard.track_resource('auto', 'auto_volumes');
SELECT volguard.on_crash('auto', 'creating', '{"status": "error"}');
SELECT volguard.register_service('node-1', 'volume', 'auto') AS alive \gset
-- A service with a plain lock and work on a volume; late, unless the argument says otherwise.
CREATE FUNCTION pg_temp.crashed(host text, status text, cluster text DEFAULT 'auto', late boolean DEFAULT true) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    service bigint := volguard.register_service(host, 'volume', cluster);
BEGIN
    INSERT INTO auto_volumes VALUES (host, status);
    PERFORM volguard.acquire(service, 'auto', host, 'plain'), volguard.acquire(service, 'auto', host, status => status);
    IF late THEN
        UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = service;
    END IF;
    RETURN service;
END
$$;
CREATE TEMP VIEW left_over AS SELECT cluster, resource_id, lock_name, status FROM volguard.workers WHERE cluster LIKE 'auto%' ORDER BY 1, 2, 3;

-- Nothing is due: the call does nothing and writes nothing.
BEGIN;
SELECT count(*) FROM volguard.auto_cleanup('auto');
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();
COMMIT;

-- Each dead service once, in this cluster alone.
SELECT pg_temp.crashed('node-2', 'creating') AS second, pg_temp.crashed('node-3', 'creating') AS third, pg_temp.crashed('node-4', 'creating', 'auto elsewhere') AS elsewhere \gset
SELECT service_id IN (:second, :third) AS dead, cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.auto_cleanup(cluster => 'auto');
SELECT service_id IN (:second, :third) AS dead, cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.auto_cleanup(cluster => 'auto');
SELECT count(*) FROM volguard.auto_cleanup(cluster => 'auto');
SELECT * FROM left_over;
SELECT * FROM auto_volumes ORDER BY id;
SELECT host, state FROM volguard.service_status WHERE cluster LIKE 'auto%' ORDER BY host;

-- With auto_cleanup off, only explicit calls clean up.
SET volguard.auto_cleanup = off;
SELECT count(*) FROM volguard.auto_cleanup('auto elsewhere');
RESET volguard.auto_cleanup;
-- NULL and no argument mean every cluster. (Other files may have left some.)
BEGIN;
SET LOCAL client_min_messages = error;
SELECT host, state FROM volguard.auto_cleanup(cluster => NULL) WHERE service_id = :elsewhere;
ROLLBACK;
BEGIN;
SET LOCAL client_min_messages = error;
SELECT host, state FROM volguard.auto_cleanup() WHERE service_id = :elsewhere;
ROLLBACK;
SELECT host, state FROM volguard.auto_cleanup('auto elsewhere');
SELECT host, state FROM volguard.auto_cleanup('auto elsewhere');

-- Services fenced by a new incarnation or an orderly stop, before their lease is over: what they leave is due.
SELECT pg_temp.crashed('node-5', 'creating', late => false) AS earlier, volguard.register_service('node-5', 'volume', 'auto') AS later \gset
SELECT pg_temp.crashed('node-6', 'creating', late => false) AS stopped \gset
SELECT volguard.deregister_service(:stopped);
SELECT service_id IN (:earlier, :stopped) AS fenced, host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');
SELECT service_id IN (:earlier, :stopped) AS fenced, host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');
SELECT * FROM left_over;

-- What no rule can repair is postponed, so that it does not fail
-- at every call. An explicit call tries at once, and so does
-- auto_cleanup once the time is over.
SELECT volguard.on_crash('auto', 'deleting', '{"status": {"div": [1, 0]}}');
SELECT pg_temp.crashed('node-7', 'deleting') AS waits \gset
SELECT host, state, locks_released, resources_cleaned, awaiting FROM volguard.auto_cleanup('auto');
SELECT host, state, locks_released, resources_cleaned, awaiting FROM volguard.auto_cleanup('auto');
SELECT count(*) FROM volguard.auto_cleanup('auto');
SELECT awaiting_reason, retry_at BETWEEN clock_timestamp() + interval '9 min' AND clock_timestamp() + interval '10 min' AS put_off FROM volguard.workers WHERE service_id = :waits;
SELECT host, state, awaiting FROM volguard.cleanup(cluster => 'auto');
-- A new rule is tried at once.
SELECT volguard.on_crash('auto', 'deleting', '{"status": "error_deleting"}');
SELECT awaiting_reason, retry_at FROM volguard.workers WHERE service_id = :waits;
SELECT host, state, resources_cleaned, awaiting FROM volguard.auto_cleanup('auto');
SELECT * FROM left_over;
SELECT status FROM auto_volumes WHERE id = 'node-7';

-- Retention, as with any cleanup.
UPDATE volguard.services SET fenced_at = now() - interval '25 hours' WHERE cluster = 'auto' AND fenced_at IS NOT NULL;
SELECT count(*) FROM volguard.auto_cleanup('auto');
SELECT host, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'auto' ORDER BY service_id;

-- A service that a trigger refuses to fence does not block the cleanup of others.
SELECT pg_temp.crashed('node-8', 'creating') AS refused, pg_temp.crashed('node-9', 'creating') AS next \gset
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by a trigger'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON volguard.services FOR EACH ROW WHEN (OLD.host = 'node-8') EXECUTE FUNCTION pg_temp.refuse();
\set VERBOSITY sqlstate
SELECT host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');
\set VERBOSITY default
SELECT * FROM left_over;
DROP TRIGGER refuse ON volguard.services;
SELECT host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');
SELECT host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');

-- Everything commits with the transaction, or nothing does.
SELECT pg_temp.crashed('node-10', 'creating') AS dead \gset
BEGIN;
SELECT host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');
ROLLBACK;
SELECT * FROM left_over;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT host, state, locks_released, resources_cleaned FROM volguard.auto_cleanup('auto');
COMMIT;

-- Names that are empty, too long, unknown.
SELECT * FROM volguard.auto_cleanup(''); :code
SELECT * FROM volguard.auto_cleanup(repeat('c', 256)); :code
SELECT count(*) FROM volguard.auto_cleanup('no such cluster');

SELECT volguard.on_crash('auto', 'creating', NULL), volguard.on_crash('auto', 'deleting', NULL);
DELETE FROM volguard.workers WHERE cluster LIKE 'auto%';
DELETE FROM volguard.services WHERE cluster LIKE 'auto%';
DELETE FROM volguard.resources WHERE resource_type = 'auto';
DROP TABLE auto_volumes;

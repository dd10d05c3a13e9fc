-- force_release: an admin takes one lock away.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_force_operator;
RESET client_min_messages;
CREATE ROLE regress_force_operator;
SELECT volguard.grant_usage('regress_force_operator');
SELECT volguard.register_service('node-1', 'volume', 'force') AS one, volguard.register_service('node-2', 'volume', 'force') AS two \gset
SELECT volguard.acquire(:one, 'volume', 'f-1') AS plain, volguard.acquire(:one, 'volume', 'f-2', status => 'creating') AS work, volguard.acquire(:one, 'volume', 'f-3') AS kept \gset

SELECT volguard.force_release(:plain, 'node-1 hangs');
SELECT volguard.force_release(token => :work, reason => 'node-1 hangs');
SELECT volguard.force_release(:plain, 'again') AS gone, volguard.force_release(-1, 'never there') AS never;
SELECT resource_id FROM volguard.workers WHERE cluster = 'force';
-- The call leaves an event, and none if it did nothing. (The rows
-- are inserted by hand, so that ids are the same in every run.)
SET client_min_messages = log;
INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, registered_by) VALUES (4001, 'force', 'node-4', 'volume', '1 min', 'regress_force_operator');
INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, acquired_at, updated_at) VALUES ('force', 'volume', 'f-4', '', 42, 4001, now(), now());
SET ROLE regress_force_operator;
SELECT volguard.force_release(42, 'node-4 hangs');
SELECT volguard.force_release(42, 'node-4 hangs');
RESET ROLE;
RESET client_min_messages;
SELECT kind, service_id, resource_type, resource_id, lock_name, token, role, details FROM volguard.event_log WHERE cluster = 'force' AND token = 42;
DELETE FROM volguard.services WHERE service_id = 4001;
-- Its holder learns of it at its next check, and is not fenced by it.
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:plain);
\set VERBOSITY default
SELECT volguard.release(:plain), volguard.heartbeat(:one), volguard.acquire(:two, 'volume', 'f-1') > :plain AS free, volguard.acquire(:two, 'volume', 'f-2', status => 'deleting') > :work AS slot_free;

SELECT volguard.force_release(NULL, 'reason'); :code
SELECT volguard.force_release(:kept, NULL); :code
SELECT volguard.force_release(:kept, ''); :code
SELECT volguard.force_release(:kept, repeat('r', 256)); :code
SELECT volguard.assert_held(:kept);

-- It works on locks of a fenced service too: that is its usual purpose.
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :one;
SELECT volguard.force_release(:kept, 'its node burnt down');

SELECT token AS of_two FROM volguard.workers WHERE cluster = 'force' AND resource_id = 'f-1' \gset
BEGIN;
SELECT volguard.force_release(:of_two, 'by mistake');
ROLLBACK;
SELECT volguard.assert_held(:of_two);
BEGIN;
SELECT volguard.force_release(-1, 'nothing'), pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.force_release(:of_two, 'serializable');
COMMIT;
SELECT resource_id FROM volguard.workers WHERE cluster = 'force';

DROP OWNED BY regress_force_operator;
DROP ROLE regress_force_operator;

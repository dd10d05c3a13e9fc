-- force_release: an admin takes one lock away.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_force_operator;
RESET client_min_messages;
CREATE ROLE regress_force_operator;
SELECT volguard.grant_operator('regress_force_operator');
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

-- By the key, where the token is not at hand. Named or not, the two are never confused.
SELECT volguard.acquire(:two, 'volume', 'f-5') IS NOT NULL AS plain, volguard.acquire(:two, 'volume', 'f-5', 'attach', 'busy') IS NOT NULL AS work;
SELECT volguard.force_release('volume', 'f-5', 'attach', 'node-2 hangs') AS by_place, volguard.force_release('volume', 'f-5', 'attach', 'again') AS gone, volguard.force_release('volume', 'f-6', '', 'never there') AS never;
SELECT volguard.force_release(resource_type => 'volume', resource_id => 'f-5', lock_name => NULL, reason => 'node-2 hangs');
SELECT lock_name, details FROM volguard.event_log WHERE resource_id = 'f-5' ORDER BY event_id;
SELECT volguard.force_release(NULL, 'f-5', '', 'reason'); :code
SELECT volguard.force_release('volume', NULL, '', 'reason'); :code
SELECT volguard.force_release('volume', 'f-5', '', NULL); :code
SELECT volguard.acquire(:two, 'volume', 'f-5') IS NOT NULL AS kept;
CREATE TABLE force_numbers (id integer PRIMARY KEY, status text);
SELECT volguard.track_resource('force_number', 'force_numbers');
SELECT volguard.acquire(:two, 'force_number', '7') IS NOT NULL AS got;
SELECT volguard.force_release('force_number', ' 07', '', 'one spelling');
SET ROLE regress_force_operator;
\set VERBOSITY sqlstate
SELECT volguard.force_release('volume', 'f-5', '', 'an operator');
\set VERBOSITY default
RESET ROLE;

DROP TABLE force_numbers;
DROP OWNED BY regress_force_operator;
DROP ROLE regress_force_operator;

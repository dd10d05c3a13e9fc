-- finish_work: the final state and the release, all or nothing.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_finish_stranger;
RESET client_min_messages;
CREATE ROLE regress_finish_stranger;
SELECT volguard.grant_usage('regress_finish_stranger');
CREATE TABLE finish_volumes (id text PRIMARY KEY, status text, size integer CHECK (size < 100));
INSERT INTO finish_volumes SELECT 'v-' || n, 'available', n FROM generate_series(1, 9) AS n;
SELECT volguard.track_resource('finish', 'finish_volumes'), volguard.on_crash('finish', 'extending', '{"status": "error_extending"}');
SELECT volguard.register_service('node-1', 'finish', 'finish') AS one \gset
CREATE VIEW finish_held AS SELECT resource_id, lock_name, status FROM volguard.lock_status WHERE resource_type = 'finish' ORDER BY 1, 2;
PREPARE start AS SELECT token FROM volguard.start_work($1, 'finish', $2, '{"status": "extending"}');

-- Both at once; the values may use the old row.
EXECUTE start(:one, 'v-1') \gset
SELECT * FROM volguard.finish_work(:token, '{"status": "available", "size": {"add": [{"column": "size"}, 10]}}');
SELECT * FROM finish_held;
SELECT * FROM finish_volumes WHERE id = 'v-1';
-- Only once.
SELECT * FROM volguard.finish_work(:token, '{"status": "error"}');
SELECT * FROM volguard.finish_work(-1, '{"status": "error"}');
SELECT status FROM finish_volumes WHERE id = 'v-1';
-- The next work gets a larger token.
SELECT :token AS before \gset
EXECUTE start(:one, 'v-1') \gset
SELECT :token > :before AS larger;

-- An error changes nothing, and the work can be finished with another call.
SELECT volguard.finish_work(:token, '{"size": 100}'); :code
SELECT volguard.finish_work(:token, '{"colour": "red"}'); :code
SELECT volguard.finish_work(:token, '{}'); :code
SELECT volguard.finish_work(:token, '"error"'); :code
SELECT volguard.finish_work(:token, NULL); :code
SELECT volguard.finish_work(:token, '{"status": "available", "id": "v-1"}'); :code
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.finish_work(:token, '{"status": {"case": [{"when": {"exists": {"table": "finish_volumes"}}, "then": "available"}]}}'); :code
ROLLBACK;
SELECT volguard.finish_work(NULL, '{"status": "error"}'); :code
SELECT * FROM finish_held;
BEGIN;
SELECT outcome FROM volguard.finish_work(:token, '{"status": "available"}');
ROLLBACK;
SELECT * FROM finish_held;
-- The row is gone: the lock stays, until the caller has decided what that means.
DELETE FROM finish_volumes WHERE id = 'v-1';
SELECT * FROM volguard.finish_work(:token, '{"status": "available"}');
SELECT volguard.assert_held(:token), volguard.release(:token);

-- A lock of acquire works too: start and finish may use different calls.
SELECT volguard.acquire(:one, 'finish', 'v-2') AS token \gset
SELECT outcome FROM volguard.finish_work(:token, '{"status": "checked"}');
SELECT volguard.acquire(:one, 'unheard of', 'v-2') AS token \gset
SELECT volguard.finish_work(:token, '{"status": "checked"}'); :code
SELECT volguard.release(:token);

-- Another role can't finish it.
EXECUTE start(:one, 'v-3') \gset
SET ROLE regress_finish_stranger;
\set VERBOSITY sqlstate
SELECT volguard.finish_work(:token, '{"status": "mine"}');
\set VERBOSITY default
-- The role of the service may finish it, but may not change a table without the privilege.
SELECT volguard.register_service('node-2', 'finish', 'finish of others') AS two \gset
SELECT volguard.acquire(:two, 'finish', 'v-4') AS other \gset
SELECT volguard.finish_work(:other, '{"status": "mine"}'); :code
RESET ROLE;
SELECT * FROM finish_held;

-- A fenced service finishes nothing; its rule does.
SELECT volguard.register_service('node-1', 'finish', 'finish') AS next \gset
SELECT * FROM volguard.finish_work(:token, '{"status": "available"}');
SELECT status FROM finish_volumes WHERE id = 'v-3';
SELECT resources_cleaned FROM volguard.cleanup(service_id => :one);
SELECT * FROM volguard.finish_work(:token, '{"status": "available"}');
SELECT status FROM finish_volumes WHERE id = 'v-3';

-- Start and finish in one transaction, twice.
BEGIN;
EXECUTE start(:next, 'v-5') \gset
SELECT outcome FROM volguard.finish_work(:token, '{"status": "available"}');
EXECUTE start(:next, 'v-5') \gset
COMMIT;
SELECT * FROM finish_held;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT outcome FROM volguard.finish_work(:token, '{"status": "available"}');
COMMIT;
SELECT * FROM finish_held;

DELETE FROM volguard.workers WHERE cluster = 'finish';
DELETE FROM volguard.services WHERE cluster = 'finish';
DELETE FROM volguard.clusters WHERE name = 'finish';
DELETE FROM volguard.resources WHERE resource_type = 'finish';
DROP VIEW finish_held;
DROP TABLE finish_volumes;
DROP OWNED BY regress_finish_stranger;
DROP ROLE regress_finish_stranger;

-- submit_work: the change of a row and work that waits for a service of a cluster, both or neither.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_submit_api, regress_submit_stranger;
RESET client_min_messages;
CREATE ROLE regress_submit_api;
CREATE ROLE regress_submit_stranger;
SELECT volguard.grant_usage('regress_submit_api'), volguard.grant_usage('regress_submit_stranger');
CREATE TABLE submit_volumes (id text PRIMARY KEY, status text, size integer NOT NULL DEFAULT 1, owner text);
INSERT INTO submit_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 9) AS n;
SELECT volguard.track_resource('submit-vol', 'submit_volumes');
SELECT volguard.register_service('node-1', 'manager', 'backends') AS one \gset
CREATE VIEW submit_rows AS SELECT resource_id, lock_name, status, operation, for_host, priority, attempt, submitted_by = CURRENT_USER AS own, alive, host, details
FROM volguard.lock_status WHERE resource_type = 'submit-vol' ORDER BY 1, 2;

-- One commit: status, and a row that no service has. Its token is the number of the work.
SELECT token, outcome, new_row, unmet FROM volguard.submit_work('backends', 'submit-vol', 'v-1', '{"status": "deleting"}', '{"status": "available"}',
    operation => 'delete', details => '{"force": true}', priority => 5) \gset
SELECT :'outcome' AS outcome, :'new_row'::jsonb AS new_row, :'unmet' AS unmet;
SELECT * FROM submit_rows;
SELECT token = work_id AND token = :token AS number, service_id, not_before <= clock_timestamp() AS due FROM volguard.lock_status WHERE resource_type = 'submit-vol';
SELECT waiting_work, held_locks FROM volguard.cluster_status WHERE cluster = 'backends';
-- As a lock it is held by none: VG002.
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:token);
SELECT volguard.set_status(:token, 'x');
\set VERBOSITY default
SELECT volguard.release(:token), volguard.release_all(ARRAY[:token]);
SELECT outcome FROM volguard.finish_work(:token, '{"status": "available"}');
SELECT outcome FROM volguard.conditional_update('submit_volumes', '{"id": "v-1"}', '{"size": 2}', fence => :token);

-- The resource's lock and its work slot are taken from now on.
SELECT * FROM volguard.submit_work('backends', 'submit-vol', 'v-1', '{"status": "extending"}');
SELECT * FROM volguard.submit_work('backends', 'submit-vol', 'v-1', '{"status": "extending"}', lock_name => 'other');
SELECT outcome FROM volguard.start_work(:one, 'submit-vol', 'v-1', '{"status": "extending"}');
SELECT volguard.acquire(:one, 'submit-vol', 'v-1') IS NULL AS refused, volguard.acquire(:one, 'submit-vol', 'v-1', 'other', wait => '10 ms') > 0 AS got;
SELECT volguard.acquire(:one, 'submit-vol', 'v-1', wait => '50 ms') IS NULL AS refused;
SELECT status FROM submit_volumes WHERE id = 'v-1';
SELECT volguard.release_all(ARRAY(SELECT token FROM volguard.lock_status WHERE lock_name = 'other'));

-- A refusal says all that is not met, and writes nothing.
SELECT last_value AS before FROM volguard.clock \gset
SELECT * FROM volguard.submit_work('backends', 'submit-vol', 'v-2', '{"status": "deleting"}', '{"status": "in-use", "size": {"ge": 2}}');
SELECT * FROM volguard.submit_work('backends', 'submit-vol', 'v-0', '{"status": "deleting"}');
BEGIN;
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-2', '{"status": "deleting"}', '{"status": "in-use"}', request_id => '00000000-0000-0000-0000-000000000002');
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-1', '{"status": "deleting"}');
SELECT count(*) FROM pg_locks WHERE locktype IN ('advisory', 'tuple') OR relation = 'submit_volumes'::regclass;
COMMIT;
SELECT last_value - :before AS drawn FROM volguard.clock;
SELECT count(*) FROM submit_rows;
-- All of it rolls back together.
BEGIN;
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-3', '{"status": "deleting"}');
ROLLBACK;
SELECT status, (SELECT count(*) FROM submit_rows WHERE resource_id = 'v-3') FROM submit_volumes WHERE id = 'v-3';

-- A repeated request gets the number of the work, also after its end, for volguard.request_retention; for one role.
SELECT token AS first FROM volguard.submit_work('backends', 'submit-vol', 'v-4', '{"status": "deleting"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004') \gset
SELECT token = :first AS same, outcome, new_row FROM volguard.submit_work('backends', 'submit-vol', 'v-4', '{"status": "deleting"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004');
SELECT volguard.submit_work('backends', 'submit-vol', 'v-5', '{"status": "deleting"}', request_id => '00000000-0000-0000-0000-000000000004'); :code
SELECT outcome FROM volguard.cancel_work(:first, '{"status": "available"}');
SELECT token = :first AS same, outcome, new_row ->> 'status' AS status FROM volguard.submit_work('backends', 'submit-vol', 'v-4', '{"status": "deleting"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004');
SELECT outcome, work_id = :first AS same FROM volguard.ended_requests;
SET volguard.request_retention = 0;
SELECT count(*) FROM volguard.cleanup();
RESET volguard.request_retention;
SELECT token > :first AS new, outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-4', '{"status": "deleting"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004');

-- Who may: the cluster's owner, and roles that were granted it; and only with the rights on the table.
SET ROLE regress_submit_api;
SELECT volguard.submit_work('backends', 'submit-vol', 'v-6', '{"status": "deleting"}'); :code
RESET ROLE;
GRANT SELECT, UPDATE (status) ON submit_volumes TO regress_submit_api;
SET ROLE regress_submit_api;
SELECT volguard.submit_work('backends', 'submit-vol', 'v-6', '{"status": "deleting"}'); :code
RESET ROLE;
SELECT volguard.grant_submit('backends', 'regress_submit_api');
SET ROLE regress_submit_api;
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-6', '{"status": "deleting"}');
SELECT volguard.submit_work('backends', 'submit-vol', 'v-7', '{"size": 7}'); :code
RESET ROLE;
REVOKE UPDATE (status) ON submit_volumes FROM regress_submit_api;
GRANT UPDATE (size) ON submit_volumes TO regress_submit_api;
SET ROLE regress_submit_api;
SELECT volguard.submit_work('backends', 'submit-vol', 'v-7', '{"size": 7}'); :code
RESET ROLE;
-- Row-level security passes through the row.
GRANT UPDATE ON submit_volumes TO regress_submit_api;
UPDATE submit_volumes SET owner = 'regress_submit_api' WHERE id = 'v-7';
ALTER TABLE submit_volumes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON submit_volumes USING (owner = CURRENT_USER);
SET ROLE regress_submit_api;
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-8', '{"status": "deleting"}');
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-7', '{"status": "deleting"}');
RESET ROLE;
ALTER TABLE submit_volumes DISABLE ROW LEVEL SECURITY;
-- A superuser names a table of others.
CREATE TABLE submit_others (id integer PRIMARY KEY, status text);
INSERT INTO submit_others SELECT n, 'free' FROM generate_series(1, 9) AS n;
ALTER TABLE submit_others OWNER TO regress_submit_stranger;
SELECT volguard.track_resource('submit-other', 'submit_others');
SELECT volguard.submit_work('backends', 'submit-other', '1', '{"status": "busy"}'); :code
SELECT outcome FROM volguard.submit_work('backends', 'submit-other', ' 01', '{"status": "busy"}', target => 'submit_others');
SELECT resource_id FROM volguard.lock_status WHERE resource_type = 'submit-other';
-- While work of another role waits, its type stays where it is.
GRANT EXECUTE ON FUNCTION volguard.track_resource TO regress_submit_stranger;
SET ROLE regress_submit_stranger;
SELECT volguard.track_resource('submit-other', 'submit_others'); :code
RESET ROLE;

-- Bad input.
\set VERBOSITY terse
SELECT volguard.submit_work('nowhere', 'submit-vol', 'v-9', '{"status": "deleting"}'); :code
SELECT volguard.submit_work(NULL, 'submit-vol', 'v-9', '{"status": "deleting"}'); :code
SELECT volguard.submit_work('backends', 'unknown', 'v-9', '{"status": "deleting"}'); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": null}'); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"id": "v-10"}'); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"nothing": 1}'); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": "x"}', operation => ''); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": "x"}', host => repeat('h', 256)); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": "x"}', priority => 101); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": "x"}', not_before => 'infinity'); :code
SELECT volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": "x"}', details => jsonb_build_object('x', repeat('x', 17000000))); :code
SELECT volguard.submit_work('backends', 'submit-other', 'seven', '{"status": "x"}', target => 'submit_others'); :code
SELECT volguard.submit_work('backends', 'submit-other', '7', '{"status": "x"}', target => 'submit_volumes'); :code
\set VERBOSITY default
-- A time that has passed is now; NULL means the default.
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-9', '{"status": "x"}', NULL, not_before => '-infinity', priority => NULL, lock_name => NULL);
SELECT not_before > now() - interval '1 min' AS now, priority, operation FROM volguard.lock_status WHERE resource_type = 'submit-vol' AND resource_id = 'v-9';
-- Under REPEATABLE READ and SERIALIZABLE, too.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT outcome FROM volguard.submit_work('backends', 'submit-vol', 'v-8', '{"status": "deleting"}');
COMMIT;
-- Operators forget it.
SELECT volguard.force_release('submit-vol', 'v-9', '', 'a test') AS taken_away, volguard.reset_resource('submit-vol', 'v-9') AS forgotten;
SELECT kind, service_id, details FROM volguard.event_log WHERE resource_type = 'submit-vol' AND resource_id = 'v-9';

DROP VIEW submit_rows;
DROP TABLE submit_volumes, submit_others;
DROP OWNED BY regress_submit_api, regress_submit_stranger;
DROP ROLE regress_submit_api, regress_submit_stranger;

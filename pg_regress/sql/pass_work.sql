-- pass_work: the holder of submitted work puts it into a queue for the next step; its lock stays taken.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_pass_scheduler, regress_pass_manager;
RESET client_min_messages;
CREATE ROLE regress_pass_scheduler;
CREATE ROLE regress_pass_manager;
SELECT volguard.grant_usage('regress_pass_scheduler'), volguard.grant_usage('regress_pass_manager');
CREATE TABLE pass_volumes (id text PRIMARY KEY, status text NOT NULL, host text);
INSERT INTO pass_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 9) AS n;
GRANT SELECT, UPDATE ON pass_volumes TO regress_pass_scheduler, regress_pass_manager;
SELECT volguard.track_resource('pass-vol', 'pass_volumes');
SET ROLE regress_pass_scheduler;
SELECT volguard.register_service('node-1', 'scheduler', 'schedulers') AS scheduler \gset
SET ROLE regress_pass_manager;
SELECT volguard.register_service('node-2', 'manager', 'managers') AS manager, volguard.register_service('node-3', 'manager', 'managers') AS other \gset
RESET ROLE;
CREATE VIEW passed AS SELECT resource_id, status, operation, cluster, for_host, attempt, service_id IS NULL AS waits, token = work_id AS number, details
FROM volguard.lock_status WHERE resource_type = 'pass-vol' ORDER BY 1;
SELECT token AS work FROM volguard.submit_work('schedulers', 'pass-vol', 'v-1', '{"status": "creating"}', operation => 'schedule', details => '{"size": 1}',
    request_id => '00000000-0000-0000-0000-000000000001') \gset
SET ROLE regress_pass_scheduler;
SELECT token FROM volguard.next_work(:scheduler) \gset
-- Not to a cluster of another role.
SELECT volguard.pass_work(:token, 'create', 'managers'); :code
RESET ROLE;
SELECT volguard.grant_submit('managers', 'regress_pass_scheduler');
SET ROLE regress_pass_scheduler;
SELECT outcome, updated, new_row, unmet FROM volguard.pass_work(:token, 'create', 'managers', 'node-2', '{"status": "placed", "host": "node-2"}');
SELECT * FROM volguard.pass_work(:token, 'create', 'managers', 'node-2', '{"status": "lost"}');
RESET ROLE;
SELECT * FROM passed;
SELECT * FROM pass_volumes WHERE id = 'v-1';
-- The slot and the lock stay taken, the number and the request stay the same.
SELECT outcome FROM volguard.submit_work('schedulers', 'pass-vol', 'v-1', '{"status": "deleting"}');
SELECT token = :work AS same, outcome FROM volguard.submit_work('schedulers', 'pass-vol', 'v-1', '{"status": "creating"}', request_id => '00000000-0000-0000-0000-000000000001');
SET ROLE regress_pass_manager;
SELECT count(*) FROM volguard.next_work(:other);
SELECT token, work_id = :work AS same, operation, attempt FROM volguard.next_work(:manager, operations => '{create}') \gset
-- Within the own cluster; without changes the row stays as it is.
SELECT * FROM volguard.pass_work(:token, 'create-2', details => '{"size": 2}');
RESET ROLE;
SELECT * FROM passed;
SET ROLE regress_pass_manager;
SELECT token FROM volguard.next_work(:other) \gset
-- If the change fails, or does nothing, the work stays with its holder.
SELECT volguard.pass_work(:token, 'create-3', changes => '{"status": null}'); :code
SELECT volguard.pass_work(:token, 'create-3', changes => '{"nothing": 1}'); :code
\set VERBOSITY terse
SELECT volguard.pass_work(:token, 'create-3', changes => '[{"status": "later"}]'); :code
SELECT volguard.pass_work(:token, 'create-3', changes => '[]'); :code
SELECT volguard.pass_work(:token, 'create-3', changes => '"status"'); :code
SELECT volguard.pass_work(:token, 'create-3', changes => '5'); :code
SELECT volguard.pass_work(:token, 'create-3', changes => 'null'); :code
SELECT volguard.assert_held(:token);
SELECT volguard.pass_work(:token, NULL); :code
SELECT volguard.pass_work(:token, ''); :code
SELECT volguard.pass_work(:token, 'x', 'nowhere'); :code
SELECT volguard.pass_work(NULL, 'x'); :code
SELECT outcome FROM volguard.pass_work(0, 'x');
-- Not for work that was not submitted.
SELECT volguard.pass_work(volguard.acquire(:other, 'pass-vol', 'v-2', status => 'busy'), 'x'); :code
\set VERBOSITY default
BEGIN;
SELECT outcome FROM volguard.pass_work(:token, 'create-3', changes => '{"status": "later"}');
ROLLBACK;
SELECT volguard.assert_held(:token);
RESET ROLE;
DELETE FROM pass_volumes WHERE id = 'v-1';
SET ROLE regress_pass_manager;
SELECT outcome FROM volguard.pass_work(:token, 'create-3', changes => '{"status": "later"}');
SELECT volguard.assert_held(:token);
RESET ROLE;
SELECT * FROM passed;

DROP VIEW passed;
DROP TABLE pass_volumes;
DROP OWNED BY regress_pass_scheduler, regress_pass_manager;
DROP ROLE regress_pass_scheduler, regress_pass_manager;

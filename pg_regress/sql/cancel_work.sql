-- cancel_work: takes work out of the queue and undoes its status, both or neither.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_cancel_api, regress_cancel_stranger, regress_cancel_owner;
RESET client_min_messages;
CREATE ROLE regress_cancel_api;
CREATE ROLE regress_cancel_stranger;
CREATE ROLE regress_cancel_owner;
SELECT volguard.grant_usage('regress_cancel_api'), volguard.grant_usage('regress_cancel_stranger'), volguard.grant_usage('regress_cancel_owner');
CREATE TABLE cancel_volumes (id text PRIMARY KEY, status text NOT NULL);
INSERT INTO cancel_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 9) AS n;
GRANT SELECT, UPDATE ON cancel_volumes TO regress_cancel_api, regress_cancel_stranger, regress_cancel_owner;
SELECT volguard.track_resource('cancel-vol', 'cancel_volumes');
SET ROLE regress_cancel_owner;
SELECT volguard.register_service('node-1', 'manager', 'backends') AS one \gset
SELECT volguard.grant_submit('backends', 'regress_cancel_api');
SET ROLE regress_cancel_api;
SELECT token AS work FROM volguard.submit_work('backends', 'cancel-vol', 'v-1', '{"status": "deleting"}', request_id => '00000000-0000-0000-0000-000000000001') \gset
SELECT token AS second FROM volguard.submit_work('backends', 'cancel-vol', 'v-2', '{"status": "deleting"}') \gset
SELECT token AS third FROM volguard.submit_work('backends', 'cancel-vol', 'v-3', '{"status": "deleting"}') \gset
SELECT token AS fourth FROM volguard.submit_work('backends', 'cancel-vol', 'v-4', '{"status": "deleting"}') \gset
-- Not another role.
SET ROLE regress_cancel_stranger;
\set VERBOSITY sqlstate
SELECT volguard.cancel_work(:work, '{"status": "available"}');
\set VERBOSITY default
-- Its submitter.
SET ROLE regress_cancel_api;
SELECT outcome, updated, new_row, unmet FROM volguard.cancel_work(:work, '{"status": "available"}');
SELECT outcome FROM volguard.cancel_work(:work, '{"status": "available"}');
SELECT status, (SELECT count(*) FROM volguard.lock_status WHERE resource_type = 'cancel-vol' AND resource_id = 'v-1') FROM cancel_volumes WHERE id = 'v-1';
-- The cluster's owner; without changes only the work goes.
SET ROLE regress_cancel_owner;
SELECT * FROM volguard.cancel_work(:second);
SELECT status, (SELECT count(*) FROM volguard.lock_status WHERE resource_type = 'cancel-vol' AND resource_id = 'v-2') FROM cancel_volumes WHERE id = 'v-2';
-- Operators.
RESET ROLE;
SELECT volguard.grant_operator('regress_cancel_stranger');
SET ROLE regress_cancel_stranger;
SELECT outcome FROM volguard.cancel_work(:third, '{"status": "error"}');
-- What a service has is its own, and what is done is done.
SET ROLE regress_cancel_owner;
SELECT token FROM volguard.next_work(:one) \gset
SET ROLE regress_cancel_api;
SELECT * FROM volguard.cancel_work(:fourth, '{"status": "available"}');
SELECT * FROM volguard.cancel_work(:token, '{"status": "available"}');
SELECT * FROM volguard.cancel_work(0);
SELECT status FROM cancel_volumes WHERE id = 'v-4';
SET ROLE regress_cancel_owner;
SELECT volguard.release(:token);
-- If the change fails, or does nothing, the work stays.
SET ROLE regress_cancel_api;
SELECT volguard.cancel_work(:fourth, '{"status": null}'); :code
SELECT volguard.cancel_work(:fourth, '{"id": "v-10"}'); :code
SELECT volguard.cancel_work(:fourth, '{}'); :code
SELECT volguard.cancel_work(NULL); :code
RESET ROLE;
DELETE FROM cancel_volumes WHERE id = 'v-4';
SET ROLE regress_cancel_api;
SELECT * FROM volguard.cancel_work(:fourth, '{"status": "available"}');
RESET ROLE;
SELECT resource_id, service_id IS NULL AS waits FROM volguard.lock_status WHERE resource_type = 'cancel-vol';
SELECT outcome, submitted_by, resource_id FROM volguard.ended_requests;
-- A superuser names the table of another role.
ALTER TABLE cancel_volumes OWNER TO regress_cancel_owner;
SELECT volguard.cancel_work(:fourth, '{"status": "available"}'); :code
SELECT outcome FROM volguard.cancel_work(:fourth, '{"status": "available"}', 'cancel_volumes');
SELECT outcome FROM volguard.cancel_work(:fourth);

DROP TABLE cancel_volumes;
DROP OWNED BY regress_cancel_api, regress_cancel_stranger, regress_cancel_owner;
DROP ROLE regress_cancel_api, regress_cancel_stranger, regress_cancel_owner;

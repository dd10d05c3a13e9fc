-- grant_submit and revoke_submit: who may submit work to a cluster, beside its owner.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_grant_api, regress_grant_owner, regress_grant_member;
RESET client_min_messages;
CREATE ROLE regress_grant_api;
CREATE ROLE regress_grant_owner;
CREATE ROLE regress_grant_member IN ROLE regress_grant_api;
SELECT volguard.grant_usage('regress_grant_api'), volguard.grant_usage('regress_grant_owner');
CREATE TABLE grant_volumes (id text PRIMARY KEY, status text);
INSERT INTO grant_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 9) AS n;
GRANT SELECT, UPDATE ON grant_volumes TO regress_grant_api;
SELECT volguard.track_resource('grant-vol', 'grant_volumes');
SET ROLE regress_grant_owner;
SELECT volguard.register_service('node-1', 'manager', 'backends') AS one \gset
SET ROLE regress_grant_api;
SELECT volguard.register_service('node-1', 'manager') > 0 AS of_all;
SELECT volguard.submit_work('backends', 'grant-vol', 'v-1', '{"status": "deleting"}'); :code
SELECT volguard.grant_submit('backends', 'regress_grant_api'); :code
-- The cluster default is everyone's.
SELECT outcome FROM volguard.submit_work('default', 'grant-vol', 'v-1', '{"status": "deleting"}');
SET ROLE regress_grant_owner;
SELECT volguard.grant_submit('backends', 'regress_grant_api'), volguard.grant_submit('backends', 'regress_grant_api');
SET ROLE regress_grant_member;
SELECT outcome FROM volguard.submit_work('backends', 'grant-vol', 'v-2', '{"status": "deleting"}');
-- It allows nothing else.
SELECT volguard.register_service('node-2', 'manager', 'backends'); :code
\set VERBOSITY sqlstate
SELECT volguard.next_work(:one);
\set VERBOSITY default
SET ROLE regress_grant_owner;
SELECT volguard.revoke_submit('backends', 'regress_grant_api'), volguard.revoke_submit('backends', 'nobody');
SET ROLE regress_grant_member;
SELECT volguard.submit_work('backends', 'grant-vol', 'v-3', '{"status": "deleting"}'); :code
RESET ROLE;
\set VERBOSITY terse
SELECT volguard.grant_submit('nowhere', 'regress_grant_api'); :code
SELECT volguard.grant_submit('default', 'regress_grant_api'); :code
SELECT volguard.grant_submit('backends', 'no such role'); :code
SELECT volguard.grant_submit('backends', NULL); :code
SELECT volguard.grant_submit(NULL, 'regress_grant_api'); :code
SELECT * FROM volguard.submitters;
-- It goes with the cluster.
SELECT volguard.grant_submit('backends', 'regress_grant_api');
SELECT volguard.reset_resource('grant-vol', 'v-2'), volguard.fence_service(:one, 'a test'), volguard.remove_cluster('backends');
SELECT * FROM volguard.submitters;

DROP TABLE grant_volumes;
DROP OWNED BY regress_grant_api, regress_grant_owner, regress_grant_member;
DROP ROLE regress_grant_member, regress_grant_api, regress_grant_owner;

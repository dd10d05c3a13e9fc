-- A service belongs to the role that registered it, and its
-- members. Every verb that takes a service or a token checks that.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_roles_team, regress_roles_alice, regress_roles_noinherit, regress_roles_stranger;
RESET client_min_messages;
CREATE ROLE regress_roles_team;
CREATE ROLE regress_roles_alice IN ROLE regress_roles_team;
CREATE ROLE regress_roles_noinherit NOINHERIT IN ROLE regress_roles_team;
CREATE ROLE regress_roles_stranger;
SELECT volguard.grant_usage(role) FROM unnest('{regress_roles_team, regress_roles_noinherit, regress_roles_stranger}'::name[]) AS role;
CREATE TEMP VIEW held AS SELECT resource_id, status FROM volguard.workers WHERE cluster = 'roles' ORDER BY 1;

SET ROLE regress_roles_team;
SELECT volguard.register_service('node-1', 'volume', 'roles') AS teams \gset
SELECT volguard.acquire(:teams, 'roles', 'r-1') AS plain, volguard.acquire(:teams, 'roles', 'r-2', status => 'creating') AS work \gset
SET ROLE regress_roles_stranger;
SELECT volguard.register_service('node-2', 'volume', 'roles') AS strangers \gset
SELECT volguard.acquire(:strangers, 'roles', 'r-3') AS other \gset

-- The stranger shares the cluster, so the locks block it too; it
-- can do nothing to them. (errors has the messages that name ids.)
SELECT volguard.acquire(:strangers, 'roles', 'r-1') AS refused;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:teams);
SELECT volguard.deregister_service(:teams);
SELECT volguard.register_service('node-1', 'volume', 'roles');
SELECT volguard.acquire(:teams, 'roles', 'r-4');
SELECT volguard.acquire(:teams, 'roles', 'r-4', wait => '1 min');
SELECT * FROM volguard.acquire_all(:teams, '[{"resource_type": "roles", "resource_id": "r-4"}]');
SELECT volguard.reconcile(:teams, '{}');
SELECT volguard.release_requests(:teams, '{}');
SELECT volguard.release(:plain);
SELECT volguard.release_all(ARRAY[:other, :plain]);
SELECT volguard.set_status(:plain, 'creating');
SELECT volguard.set_status(:work, NULL);
SELECT volguard.assert_held(:plain);
SELECT volguard.force_release(:plain, 'because');
SELECT volguard.reset_resource('roles', 'r-1');
\set VERBOSITY default
SELECT volguard.reset_resource('roles', 'r-2'); :code
RESET ROLE;
-- Nothing changed. In the list with one foreign token, the stranger's own token wasn't released either.
SELECT * FROM held;
SELECT host, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'roles' ORDER BY host;

-- The same calls on the stranger's own locks work.
SET ROLE regress_roles_stranger;
SELECT volguard.heartbeat(:strangers), volguard.set_status(:other, 'creating'), volguard.assert_held(:other), volguard.reconcile(:strangers, ARRAY[:other]), volguard.release_requests(:strangers, '{}'), volguard.force_release(:other, 'mine');
SELECT volguard.acquire(:strangers, 'roles', 'r-3') > :other AS got, volguard.reset_resource('roles', 'r-3');

-- A member may.
SET ROLE regress_roles_alice;
SELECT volguard.heartbeat(:teams), volguard.assert_held(:plain), volguard.set_status(:plain, 'creating'), volguard.reconcile(:teams, ARRAY[:plain, :work]), volguard.release_requests(:teams, '{}');
SELECT volguard.acquire(:teams, 'roles', 'r-4') AS more \gset
SELECT volguard.release(:more), volguard.release_all(ARRAY[:plain]), volguard.force_release(:work, 'by a member');
-- A new incarnation belongs to the role that registers it. The team
-- can't replace Alice's: Alice is a member of the team, not the reverse.
SELECT volguard.register_service('node-1', 'volume', 'roles') AS alices \gset
RESET ROLE;
SELECT registered_by, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'roles' AND host = 'node-1' ORDER BY service_id;
SET ROLE regress_roles_team;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:alices);
SELECT volguard.register_service('node-1', 'volume', 'roles');
\set VERBOSITY default
-- Once it is fenced, the name is free to every role.
SET ROLE regress_roles_alice;
SELECT volguard.deregister_service(:alices);
SET ROLE regress_roles_stranger;
SELECT volguard.register_service('node-1', 'volume', 'roles') > :alices AS registered;

-- A member that doesn't inherit has to SET ROLE, as usual.
SET ROLE regress_roles_team;
SELECT volguard.register_service('node-3', 'volume', 'roles') AS teams \gset
SELECT volguard.acquire(:teams, 'roles', 'r-5') AS token \gset
RESET ROLE;
SET SESSION AUTHORIZATION regress_roles_noinherit;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:teams);
SELECT volguard.release(:token);
\set VERBOSITY default
SET ROLE regress_roles_team;
SELECT volguard.heartbeat(:teams);
RESET SESSION AUTHORIZATION;
-- Every call checks membership; nothing is cached.
REVOKE regress_roles_team FROM regress_roles_alice;
GRANT regress_roles_team TO regress_roles_stranger;
SELECT volguard.grant_usage('regress_roles_alice');
SET ROLE regress_roles_alice;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:teams);
SELECT volguard.release(:token);
\set VERBOSITY default
SET ROLE regress_roles_stranger;
SELECT volguard.heartbeat(:teams), volguard.assert_held(:token);
RESET ROLE;
REVOKE regress_roles_team FROM regress_roles_stranger;
-- A superuser may, and so may SECURITY DEFINER functions of a member that a stranger calls: the current role counts.
SELECT volguard.heartbeat(:teams);
CREATE FUNCTION roles_heartbeat(service bigint) RETURNS interval SECURITY DEFINER LANGUAGE sql AS 'SELECT volguard.heartbeat(service)';
ALTER FUNCTION roles_heartbeat OWNER TO regress_roles_team;
SET ROLE regress_roles_stranger;
SELECT roles_heartbeat(:teams);

-- Every role with the grant may clean up dead services: they belong to no role.
RESET ROLE;
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :teams;
SET ROLE regress_roles_stranger;
SELECT state, locks_released FROM volguard.cleanup(service_id => :teams);
RESET ROLE;

-- force_release and reset_resource are also for the extension's owner, who is no superuser here, and its members.
SET ROLE regress_roles_team;
SELECT volguard.register_service('node-4', 'volume', 'roles') AS teams \gset
SELECT volguard.acquire(:teams, 'roles', 'r-6') AS token, volguard.acquire(:teams, 'roles', 'r-7') IS NOT NULL AS got \gset
RESET ROLE;
BEGIN;
CREATE ROLE regress_roles_owner;
GRANT CREATE, USAGE ON SCHEMA volguard TO regress_roles_owner;
SELECT volguard.grant_usage('regress_roles_owner');
DO $$
DECLARE
    ours record;
BEGIN
    FOR ours IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'S') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO regress_roles_owner', ours.name);
    END LOOP;
END
$$;
GRANT regress_roles_owner TO regress_roles_alice;
SET LOCAL ROLE regress_roles_alice;
\set VERBOSITY sqlstate
SELECT volguard.force_release(:token, 'the owner''s member'), volguard.reset_resource('roles', 'r-7');
-- Nothing else has changed: the services still belong to the team.
SELECT volguard.heartbeat(:teams);
\set VERBOSITY default
ROLLBACK;

DROP FUNCTION roles_heartbeat;
DROP OWNED BY regress_roles_team, regress_roles_alice, regress_roles_noinherit, regress_roles_stranger;
DROP ROLE regress_roles_team, regress_roles_alice, regress_roles_noinherit, regress_roles_stranger;

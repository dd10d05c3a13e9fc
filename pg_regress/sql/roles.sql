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
SELECT volguard.grant_operator(role) FROM unnest('{regress_roles_team, regress_roles_noinherit, regress_roles_stranger}'::name[]) AS role;
CREATE TEMP VIEW held AS SELECT resource_id, status FROM volguard.workers WHERE cluster LIKE 'roles%' ORDER BY 1;

SET ROLE regress_roles_team;
SELECT volguard.register_service('node-1', 'volume', 'roles') AS teams \gset
SELECT volguard.acquire(:teams, 'roles', 'r-1') AS plain, volguard.acquire(:teams, 'roles', 'r-2', status => 'creating') AS work \gset
SET ROLE regress_roles_stranger;
SELECT volguard.register_service('node-1', 'volume', 'roles of strangers') AS strangers \gset
SELECT volguard.acquire(:strangers, 'roles', 'r-3') AS other \gset

-- The stranger's host has the same name, and is another one. The locks block it too, and it can do nothing to them.
-- (errors has the messages that name ids.)
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
\set VERBOSITY default
RESET ROLE;
-- Nothing changed. In the list with one foreign token, the stranger's own token wasn't released either.
SELECT * FROM held;
SELECT cluster, host, owner, fenced_at IS NULL AS live FROM volguard.services WHERE cluster LIKE 'roles%' ORDER BY 1;

-- The same calls on the stranger's own locks work.
SET ROLE regress_roles_stranger;
SELECT volguard.heartbeat(:strangers), volguard.set_status(:other, 'creating'), volguard.assert_held(:other), volguard.reconcile(:strangers, ARRAY[:other]), volguard.release_requests(:strangers, '{}'), volguard.release(:other);
SELECT volguard.acquire(:strangers, 'roles', 'r-3') > :other AS got;

-- A member may.
SET ROLE regress_roles_alice;
SELECT volguard.heartbeat(:teams), volguard.assert_held(:plain), volguard.set_status(:plain, 'creating'), volguard.reconcile(:teams, ARRAY[:plain, :work]), volguard.release_requests(:teams, '{}');
SELECT volguard.acquire(:teams, 'roles', 'r-4') AS more \gset
SELECT volguard.release(:more), volguard.release_all(ARRAY[:plain]), volguard.release(:work);
-- A new incarnation belongs to the role that registers it; the identity is one of the cluster's owner. The team can't act
-- for Alice's service: Alice is a member of the team, not the reverse. But in its own cluster it can replace it.
SELECT volguard.register_service('node-1', 'volume', 'roles') AS alices \gset
RESET ROLE;
SELECT registered_by, owner, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'roles' AND host = 'node-1' ORDER BY service_id;
SET ROLE regress_roles_team;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:alices);
SELECT volguard.register_service('node-1', 'volume', 'roles') > :alices AS registered;
SET ROLE regress_roles_alice;
SELECT volguard.heartbeat(:alices);
-- A fenced one frees the name for members of the owner only.
SET ROLE regress_roles_stranger;
SELECT volguard.register_service('node-1', 'volume', 'roles');
\set VERBOSITY default

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
SELECT volguard.grant_operator('regress_roles_alice');
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

DROP FUNCTION roles_heartbeat;
DROP OWNED BY regress_roles_team, regress_roles_alice, regress_roles_noinherit, regress_roles_stranger;
DROP ROLE regress_roles_team, regress_roles_alice, regress_roles_noinherit, regress_roles_stranger;

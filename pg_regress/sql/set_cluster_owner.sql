-- set_cluster_owner: clusters belong to roles, and who may register in them.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_owner_alice, regress_owner_alices, regress_owner_bob, regress_owner_carol, regress_owner_renamed;
RESET client_min_messages;
CREATE ROLE regress_owner_alice;
CREATE ROLE regress_owner_alices IN ROLE regress_owner_alice;
CREATE ROLE regress_owner_bob;
SELECT volguard.grant_usage('regress_owner_alice'), volguard.grant_usage('regress_owner_bob');
CREATE VIEW ours AS SELECT cluster, host, registered_by, owner, fenced_at IS NOT NULL AS fenced FROM volguard.services WHERE cluster LIKE 'own%' ORDER BY service_id;

-- The first role that registers in a cluster is its owner. Members of it may register, and no other role.
SET ROLE regress_owner_alice;
SELECT volguard.register_service('node-1', 'volume', 'own') AS alices \gset
SET ROLE regress_owner_alices;
SELECT volguard.register_service('node-2', 'volume', 'own') AS members \gset
SET ROLE regress_owner_bob;
SELECT volguard.register_service('node-3', 'volume', 'own'); :code
SELECT volguard.register_service('node-1', 'volume', 'own'); :code
-- A host is one of the owner's: no role takes the name of another one's.
SELECT volguard.register_service('node-1', 'volume', 'own of bob') AS bobs \gset
RESET ROLE;
SELECT * FROM ours;
SELECT cluster, owner FROM volguard.cluster_status WHERE cluster LIKE 'own%' ORDER BY 1;
-- The cluster default belongs to no role: there each role has hosts of its own.
SET ROLE regress_owner_alice;
SELECT volguard.register_service('node-4', 'volume') AS alices_default \gset
SET ROLE regress_owner_bob;
SELECT volguard.register_service('node-4', 'volume') AS bobs_default \gset
RESET ROLE;
SELECT owner, fenced_at IS NULL AS live FROM volguard.services WHERE host = 'node-4' ORDER BY service_id;
-- Of one role it is one host, in whatever cluster.
SET ROLE regress_owner_alice;
SELECT volguard.register_service('node-4', 'volume', 'own') > :alices_default AS moved;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:alices_default);
\set VERBOSITY default
-- No role may give a cluster away without the right.
SELECT volguard.set_cluster_owner('own', 'regress_owner_bob'); :code
RESET ROLE;

-- Given to another role: what others have running there is dead at once. The event is kept for its age.
SELECT volguard.set_cluster_owner('own', 'regress_owner_bob');
SELECT * FROM ours;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:alices);
\set VERBOSITY default
SELECT kind, details - 'silent_seconds' AS details, role = CURRENT_USER AS mine, by_age FROM volguard.events WHERE cluster = 'own' AND kind IN ('owner_changed', 'fenced') ORDER BY event_id;
SET ROLE regress_owner_alice;
SELECT volguard.register_service('node-1', 'volume', 'own'); :code
SET ROLE regress_owner_bob;
SELECT volguard.register_service('node-3', 'volume', 'own') AS bobs_own \gset
RESET ROLE;
-- The same once more changes nothing, and leaves no event. Those of the new owner go on.
SELECT volguard.set_cluster_owner(cluster => 'own', owner => 'regress_owner_bob');
SELECT volguard.heartbeat(:bobs_own);
SELECT count(*) FROM volguard.event_log WHERE cluster = 'own' AND kind = 'owner_changed';
-- A cluster can be given away before its first service, so that no other role takes the name.
SELECT volguard.set_cluster_owner('own later', 'regress_owner_alice');
SET ROLE regress_owner_bob;
SELECT volguard.register_service('node-5', 'volume', 'own later'); :code
SET ROLE regress_owner_alice;
SELECT volguard.register_service('node-5', 'volume', 'own later') AS later \gset
-- Such a cluster stays when it is empty. Others go with their last service.
SELECT volguard.deregister_service(:later);
SET ROLE regress_owner_bob;
SELECT volguard.deregister_service(:bobs);
RESET ROLE;
SELECT name, owner, owner_named FROM volguard.clusters WHERE name LIKE 'own%' ORDER BY 1;

-- The owner is kept by name. A role that is missing, or has another name, owns nothing; a superuser or an operator acts.
SET ROLE regress_owner_alice;
SELECT volguard.register_service('node-6', 'volume', 'own by name') AS named \gset
SELECT volguard.acquire(:named, 'own', 'o-1') AS token \gset
RESET ROLE;
ALTER ROLE regress_owner_alice RENAME TO regress_owner_renamed;
SET ROLE regress_owner_renamed;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:named);
SELECT volguard.release(:token);
SELECT volguard.register_service('node-6', 'volume', 'own by name');
\set VERBOSITY default
RESET ROLE;
SELECT volguard.heartbeat(:named), volguard.release(:token);
SELECT volguard.set_cluster_owner('own by name', 'regress_owner_renamed');
SET ROLE regress_owner_renamed;
SELECT volguard.register_service('node-6', 'volume', 'own by name') > :named AS registered;
RESET ROLE;
-- One that is gone.
SELECT volguard.set_cluster_owner('own by name', 'regress_owner_bob');
DROP OWNED BY regress_owner_bob;
DROP ROLE regress_owner_bob;
SELECT owner FROM volguard.clusters WHERE name = 'own by name';
SET ROLE regress_owner_renamed;
SELECT volguard.register_service('node-6', 'volume', 'own by name'); :code
RESET ROLE;

-- Bad input.
SELECT volguard.set_cluster_owner(NULL, 'regress_owner_renamed'); :code
SELECT volguard.set_cluster_owner('own', NULL); :code
SELECT volguard.set_cluster_owner('', 'regress_owner_renamed'); :code
SELECT volguard.set_cluster_owner(E'own\n', 'regress_owner_renamed'); :code
SELECT volguard.set_cluster_owner('own', 'regress_owner_nobody'); :code
SELECT volguard.set_cluster_owner('own', 'public'); :code
SELECT volguard.set_cluster_owner('own', ''); :code
SELECT volguard.set_cluster_owner('default', 'regress_owner_renamed'); :code
SELECT owner FROM volguard.clusters WHERE name = 'own';

DELETE FROM volguard.services WHERE host LIKE 'node-%';
DELETE FROM volguard.clusters WHERE name LIKE 'own%';
DROP VIEW ours;
DROP OWNED BY regress_owner_renamed, regress_owner_alices;
DROP ROLE regress_owner_renamed, regress_owner_alices;

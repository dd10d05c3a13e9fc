-- set_cluster_disabled: a mark for people and for the filters of cleanup; it stops nothing.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_cluster_member, regress_cluster_team;
RESET client_min_messages;
CREATE ROLE regress_cluster_team;
CREATE ROLE regress_cluster_member IN ROLE regress_cluster_team;
SELECT volguard.grant_usage('regress_cluster_team');
SET ROLE regress_cluster_team;
SELECT volguard.register_service('node-1', 'volume', 'disable') AS one \gset
RESET ROLE;

SELECT volguard.set_cluster_disabled('disable', true);
SELECT disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'disable';
SELECT volguard.set_cluster_disabled(cluster => 'disable', disabled => true, reason => 'moving to another hall');
SELECT state, disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'disable';
-- Nothing is refused: services register, send heartbeats and lock as before.
SET ROLE regress_cluster_team;
SELECT volguard.heartbeat(:one), volguard.register_service('node-2', 'volume', 'disable') AS two, volguard.acquire(:one, 'disable', 'd-1') AS token \gset
SELECT volguard.acquire(:two, 'disable', 'd-2', status => 'creating') > :token AS got, volguard.release(:token);
RESET ROLE;
-- When the cluster is enabled again, the reason is gone.
SELECT volguard.set_cluster_disabled('disable', false, 'moved');
SELECT disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'disable';
SELECT kind, role = CURRENT_USER AS mine, details FROM volguard.event_log WHERE cluster = 'disable' AND kind LIKE '%abled' ORDER BY event_id;

-- A call that changes nothing writes nothing.
BEGIN;
SELECT volguard.set_cluster_disabled('disable', false), volguard.set_cluster_disabled('disable', false, 'once more'), pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.set_cluster_disabled('disable', true, 'rolled back');
ROLLBACK;
SELECT disabled FROM volguard.cluster_status WHERE cluster = 'disable';
SELECT count(*) FROM volguard.event_log WHERE cluster = 'disable' AND kind LIKE '%abled';

-- Privileges: those who may call it. An owner of the cluster needs the right, too.
SET ROLE regress_cluster_member;
SELECT volguard.set_cluster_disabled('disable', true, 'a member'); :code
RESET ROLE;
SELECT volguard.set_cluster_disabled('disable', true, 'the owner');
SELECT disabled_reason FROM volguard.cluster_status WHERE cluster = 'disable';
-- A disabled cluster stays when its services are gone. One that is enabled goes.
DELETE FROM volguard.services WHERE cluster = 'disable';
SELECT count(*) FROM volguard.cleanup(cluster => 'disable');
SELECT owner, disabled FROM volguard.clusters WHERE name = 'disable';

SELECT volguard.set_cluster_disabled('no such cluster', true); :code
SELECT volguard.set_cluster_disabled(NULL, true); :code
SELECT volguard.set_cluster_disabled('', true); :code
SELECT volguard.set_cluster_disabled('disable', NULL); :code
SELECT volguard.set_cluster_disabled('disable', true, ''); :code
SELECT volguard.set_cluster_disabled('disable', true, repeat('r', 256)); :code
SELECT volguard.set_cluster_disabled(repeat('c', 256), true); :code
SELECT disabled, disabled_reason FROM volguard.clusters WHERE name = 'disable';

DELETE FROM volguard.workers WHERE cluster = 'disable';
DELETE FROM volguard.services WHERE cluster LIKE 'disable%';
DROP OWNED BY regress_cluster_team;
DROP ROLE regress_cluster_member, regress_cluster_team;

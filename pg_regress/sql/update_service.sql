-- update_service: the details of a service, and whether it takes no new work.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_us_team, regress_us_service, regress_us_stranger, regress_us_operator;
RESET client_min_messages;
SELECT volguard.register_service('node-1', 'volume', 'update-service', details => '{"zone": "a"}') AS one \gset
CREATE TEMP VIEW seen AS SELECT details, disabled, disabled_reason, state FROM volguard.service_status WHERE cluster = 'update-service';
SELECT * FROM seen;
SELECT volguard.update_service(:one, details => '{"zone": "b", "version": [2, 1]}');
SELECT * FROM seen;
SELECT volguard.update_service(service_id => :one, disabled => true, disabled_reason => 'new disks');
SELECT * FROM seen;
-- A heartbeat keeps it all, and writes no index (HOT).
BEGIN;
SELECT n_tup_upd AS updates, n_tup_hot_upd AS hot FROM pg_stat_xact_all_tables WHERE relid = 'volguard.services'::regclass \gset
SELECT volguard.heartbeat(:one);
SELECT n_tup_upd - :updates AS updates, n_tup_hot_upd - :hot AS hot FROM pg_stat_xact_all_tables WHERE relid = 'volguard.services'::regclass;
COMMIT;
SELECT * FROM seen;
-- What is the same writes nothing.
BEGIN;
SELECT volguard.update_service(:one, '{"version": [2, 1], "zone": "b"}', true, 'new disks');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT volguard.update_service(:one, disabled => true, disabled_reason => 'old disks');
SELECT * FROM seen;
-- The reason is why it is disabled.
SELECT volguard.update_service(:one, 'null', false, 'mended');
SELECT * FROM seen;
SELECT kind, service_id = :one AS one, details FROM volguard.event_log WHERE cluster = 'update-service' ORDER BY event_id;

SELECT volguard.update_service(NULL); :code
SELECT volguard.update_service(:one); :code
SELECT volguard.update_service(:one, disabled_reason => 'why'); :code
SELECT volguard.update_service(:one, '{}', disabled_reason => 'why'); :code
SELECT volguard.update_service(:one, disabled => true, disabled_reason => ''); :code
SELECT volguard.update_service(:one, disabled => true, disabled_reason => E'two\nlines'); :code
SELECT volguard.update_service(-1, '{}'); :code
SELECT volguard.update_service(-1, disabled => true); :code
SELECT * FROM seen;
-- A service that is late may still be marked; a fenced one not, and its next incarnation is enabled.
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :one;
SELECT volguard.update_service(:one, disabled => true);
SELECT * FROM seen;
SELECT volguard.register_service('node-1', 'volume', 'update-service') AS next \gset
\set VERBOSITY sqlstate
SELECT volguard.update_service(:one, '{}');
SELECT volguard.update_service(:one, disabled => false);
\set VERBOSITY default
SELECT disabled FROM volguard.service_status WHERE service_id = :next;

-- The details are set by the service's role. The mark also by the owner of its cluster, and by operators.
CREATE ROLE regress_us_team;
CREATE ROLE regress_us_service IN ROLE regress_us_team;
CREATE ROLE regress_us_stranger;
CREATE ROLE regress_us_operator;
SELECT volguard.grant_usage('regress_us_team'), volguard.grant_usage('regress_us_service'), volguard.grant_usage('regress_us_stranger'), volguard.grant_operator('regress_us_operator');
SELECT volguard.set_cluster_owner('update-service-team', 'regress_us_team');
SET ROLE regress_us_service;
SELECT volguard.register_service('node-1', 'volume', 'update-service-team') AS theirs \gset
SELECT volguard.update_service(:theirs, '{"zone": "c"}', true, 'busy');
SET ROLE regress_us_team;
\set VERBOSITY sqlstate
SELECT volguard.update_service(:theirs, '{"zone": "d"}');
SELECT volguard.update_service(:theirs, disabled => false);
SELECT volguard.update_service(:theirs, '{"zone": "d"}', true);
SET ROLE regress_us_operator;
SELECT volguard.update_service(:theirs, '{"zone": "e"}');
SELECT volguard.update_service(:theirs, disabled => true, disabled_reason => 'an operator');
SET ROLE regress_us_stranger;
SELECT volguard.update_service(:theirs, '{"zone": "f"}');
SELECT volguard.update_service(:theirs, disabled => false);
\set VERBOSITY default
RESET ROLE;
SELECT details, disabled, disabled_reason FROM volguard.service_status WHERE service_id = :theirs;
SELECT kind, role, details FROM volguard.event_log WHERE service_id = :theirs ORDER BY event_id;
DROP OWNED BY regress_us_team, regress_us_service, regress_us_stranger, regress_us_operator;
DELETE FROM volguard.services WHERE cluster = 'update-service-team';
DELETE FROM volguard.clusters WHERE name = 'update-service-team';
DROP ROLE regress_us_service, regress_us_team, regress_us_stranger, regress_us_operator;

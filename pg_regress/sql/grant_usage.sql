-- grant_usage, grant_operator, grant_monitoring: what a role can do with each, and that it can do nothing without.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_usage_member, "regress_usage Odd ""name""", regress_usage_nobody, regress_usage_operator, regress_usage_monitor;
RESET client_min_messages;
CREATE ROLE regress_usage_nobody;
CREATE ROLE "regress_usage Odd ""name""";
CREATE ROLE regress_usage_member IN ROLE "regress_usage Odd ""name""";

-- PUBLIC has no privilege: not on the schema, a function, a table, a view or a sequence.
SELECT has_schema_privilege('regress_usage_nobody', 'volguard', 'USAGE') AS usage, has_schema_privilege('regress_usage_nobody', 'volguard', 'CREATE') AS "create";
SELECT count(*) > 0 AS some, count(*) FILTER (WHERE has_function_privilege('regress_usage_nobody', oid, 'EXECUTE')) AS executable FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace;
SELECT relname FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')
AND (has_table_privilege('regress_usage_nobody', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege('regress_usage_nobody', oid, 'SELECT, INSERT, UPDATE, REFERENCES'));
SELECT relname FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND CASE relkind WHEN 'S' THEN has_sequence_privilege('regress_usage_nobody', oid, 'USAGE, SELECT, UPDATE') END;
SET ROLE regress_usage_nobody;
SELECT volguard.heartbeat(1); :code
SELECT * FROM volguard.lock_status; :code
RESET ROLE;
-- With USAGE on the schema alone, each function still refuses.
GRANT USAGE ON SCHEMA volguard TO regress_usage_nobody;
SET ROLE regress_usage_nobody;
SELECT volguard.heartbeat(1); :code
SELECT * FROM volguard.cleanup(); :code
SELECT volguard.grant_usage('regress_usage_nobody'); :code
RESET ROLE;
REVOKE USAGE ON SCHEMA volguard FROM regress_usage_nobody;

-- Granted: every function but an operator's and the grants, the views, and no table or sequence.
SELECT volguard.grant_usage(role => 'regress_usage Odd "name"');
SELECT volguard.grant_usage('regress_usage Odd "name"') AS twice;
SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'volguard'::regnamespace AND NOT has_function_privilege('regress_usage_member', p.oid, 'EXECUTE') ORDER BY 1;
SELECT relname, relkind, has_table_privilege('regress_usage_member', oid, 'SELECT') AS "select", has_table_privilege('regress_usage_member', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') AS more
FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f') ORDER BY 2, 1;
SELECT relname FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND CASE relkind WHEN 'S' THEN has_sequence_privilege('regress_usage_member', oid, 'USAGE, SELECT, UPDATE') END;
SELECT has_schema_privilege('regress_usage_member', 'volguard', 'CREATE') AS "create";

-- Each function is for users, for operators or for monitoring, or is a grant.
CREATE ROLE regress_usage_operator;
CREATE ROLE regress_usage_monitor;
SELECT volguard.grant_operator('regress_usage_operator'), volguard.grant_monitoring('regress_usage_monitor');
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) AS operators_only FROM pg_proc AS p WHERE p.pronamespace = 'volguard'::regnamespace
AND has_function_privilege('regress_usage_operator', p.oid, 'EXECUTE') AND NOT has_function_privilege('regress_usage_member', p.oid, 'EXECUTE');
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) AS no_operators FROM pg_proc AS p WHERE p.pronamespace = 'volguard'::regnamespace AND NOT has_function_privilege('regress_usage_operator', p.oid, 'EXECUTE');
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) AS monitors FROM pg_proc AS p WHERE p.pronamespace = 'volguard'::regnamespace AND has_function_privilege('regress_usage_monitor', p.oid, 'EXECUTE');
SELECT count(*) > 0 AS views, bool_and(has_table_privilege('regress_usage_monitor', oid, 'SELECT') AND has_table_privilege('regress_usage_operator', oid, 'SELECT')) AS readable
FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND relkind = 'v';
SELECT relname FROM pg_class, unnest('{regress_usage_operator, regress_usage_monitor}'::name[]) AS role WHERE relnamespace = 'volguard'::regnamespace
AND relkind = 'r' AND (has_table_privilege(role, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege(role, oid, 'SELECT, INSERT, UPDATE, REFERENCES'));
SELECT has_schema_privilege('regress_usage_operator', 'volguard', 'CREATE') AS "create";
SET ROLE regress_usage_operator;
SELECT volguard.grant_operator('regress_usage_nobody'); :code
SET ROLE regress_usage_monitor;
SELECT count(*) >= 0 AS readable FROM volguard.crash_rule_status;
SELECT volguard.heartbeat(1); :code
RESET ROLE;

-- The grant is enough for everything, and the tables are still out of reach.
SET ROLE regress_usage_member;
SELECT volguard.register_service('node-1', 'volume', 'usage') AS mine \gset
SELECT volguard.acquire(:mine, 'volume', 'u-1', status => 'creating') AS token \gset
SELECT volguard.heartbeat(:mine), volguard.set_status(:token, NULL), volguard.assert_held(:token), volguard.release_all('{}'), volguard.reconcile(:mine, ARRAY[:token]), volguard.release_requests(:mine, '{}');
SELECT resource_id, alive FROM volguard.lock_status WHERE cluster = 'usage';
SELECT state, held_locks, registered_by FROM volguard.service_status WHERE cluster = 'usage';
SELECT state, services FROM volguard.cluster_status WHERE cluster = 'usage';
SELECT count(*) FROM volguard.cleanup(cluster => 'usage');
SELECT volguard.release(:token), volguard.deregister_service(:mine);
SELECT * FROM volguard.services; :code
SELECT * FROM volguard.workers; :code
SELECT * FROM volguard.clusters; :code
SELECT * FROM volguard.resources; :code
SELECT * FROM volguard.crash_rules; :code
INSERT INTO volguard.workers DEFAULT VALUES; :code
UPDATE volguard.services SET fenced_at = NULL; :code
DELETE FROM volguard.workers; :code
TRUNCATE volguard.workers; :code
UPDATE volguard.lock_status SET status = NULL; :code
SELECT nextval('volguard.clock'); :code
SELECT setval('volguard.clock', 1); :code
CREATE TABLE volguard.mine (); :code
-- A role with the grant can't pass it on, not even if it may call the function.
RESET ROLE;
GRANT EXECUTE ON FUNCTION volguard.grant_usage TO regress_usage_member;
SET ROLE regress_usage_member;
SELECT volguard.grant_usage('regress_usage_nobody'); :code
RESET ROLE;
SELECT has_schema_privilege('regress_usage_nobody', 'volguard', 'USAGE') AS usage;

-- NULL, empty, unknown. PUBLIC isn't a role, and one long name isn't a list.
SELECT volguard.grant_usage(NULL); :code
SELECT volguard.grant_usage(''); :code
SELECT volguard.grant_usage('regress_usage_none'); :code
BEGIN;
SELECT volguard.grant_usage('public'); :code
ROLLBACK;
SELECT volguard.grant_usage('regress_usage_nobody, regress_usage_none'); :code
SELECT volguard.grant_usage('regress_usage_nobody; DROP TABLE volguard.workers'); :code
SELECT has_schema_privilege('regress_usage_nobody', 'volguard', 'USAGE') AS usage;
-- The grant commits with the transaction.
BEGIN;
SELECT volguard.grant_usage('regress_usage_nobody');
ROLLBACK;
SELECT has_schema_privilege('regress_usage_nobody', 'volguard', 'USAGE') AS usage;

-- REVOKE takes it away.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA volguard FROM "regress_usage Odd ""name""";
SET ROLE regress_usage_member;
SELECT volguard.heartbeat(1); :code
RESET ROLE;
-- The missing grant is what protects the tables: with one, a role could bring a dead service back.
BEGIN;
GRANT SELECT, UPDATE ON volguard.services TO regress_usage_member;
SET LOCAL ROLE regress_usage_member;
UPDATE volguard.services SET fenced_at = NULL WHERE false;
ROLLBACK;

DROP OWNED BY regress_usage_member, "regress_usage Odd ""name""", regress_usage_operator, regress_usage_monitor;
DROP ROLE regress_usage_member, "regress_usage Odd ""name""", regress_usage_nobody, regress_usage_operator, regress_usage_monitor;

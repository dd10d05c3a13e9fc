-- The settings: names, defaults, units, limits, and the roles
-- that may change them. The files of the verbs show their effect.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- The limits have units from Postgres 18 on.
\set range 'SELECT :\'LAST_ERROR_SQLSTATE\' AS code, regexp_replace(:\'LAST_ERROR_MESSAGE\', \'(\\d+) (ms|s)(?= \\.\\.|\\))\', \'\\1\', \'g\') AS message;'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_settings_user;
RESET client_min_messages;
SELECT volguard.heartbeat(-1); :code
SELECT name, boot_val, unit, vartype, context, min_val, max_val, short_desc <> '' AND extra_desc <> '' AS described FROM pg_settings WHERE name LIKE 'volguard.%' ORDER BY name;

SET volguard.service_down_time = '2 min';
SHOW volguard.service_down_time;
SELECT volguard.register_service('node-1', 'volume', 'settings') AS service \gset
SELECT volguard.heartbeat(:service);
-- A registered service keeps its lease.
SET volguard.service_down_time = '100 ms';
SELECT volguard.heartbeat(:service);
SELECT lease FROM volguard.services WHERE service_id = :service;
SET volguard.service_down_time = 2147483647;
SELECT volguard.register_service('node-1', 'volume', 'settings') AS service \gset
SELECT volguard.heartbeat(:service);
RESET volguard.service_down_time;

\set VERBOSITY sqlstate
SET volguard.service_down_time = 0;
:range
SET volguard.service_down_time = '99 ms';
:range
SET volguard.service_down_time = -1;
:range
\set VERBOSITY default
SET volguard.service_down_time = 'never'; :code
SET volguard.auto_cleanup = 'perhaps'; :code
\set VERBOSITY sqlstate
SET volguard.rule_timeout = 0;
:range
SET volguard.rule_timeout = '9 ms';
:range
SET volguard.service_retention = -1;
:range
SET volguard.event_retention = -1;
:range
\set VERBOSITY default
SET volguard.max_events = -1; :code
-- The settings of the background worker are server settings: postgresql.conf, or ALTER SYSTEM.
SET volguard.cleanup_interval = '1 min'; :code
SET volguard.database = 'cloud'; :code
\set VERBOSITY sqlstate
ALTER SYSTEM SET volguard.cleanup_interval = '99 ms';
:range
\set VERBOSITY default
-- A misspelt name is an error, not a setting without effect.
SET volguard.service_downtime = '2 min'; :code
SHOW volguard.service_down_time;

-- Retention is set by the administrator; every role may set the other two.
CREATE ROLE regress_settings_user;
SET ROLE regress_settings_user;
SET volguard.service_retention = 0; :code
SET volguard.event_retention = 0; :code
SET volguard.max_events = 0; :code
SET volguard.auto_cleanup = off;
SET volguard.service_down_time = '1 s';
RESET ROLE;
DROP ROLE regress_settings_user;
RESET ALL;

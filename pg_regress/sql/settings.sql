-- The settings: names, defaults, units, limits, and who may change them. What they do is in the verbs' own files.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive a database, and so a run that was broken off.
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
SET volguard.service_down_time = 1;
SELECT volguard.heartbeat(:service);
SELECT lease FROM volguard.services WHERE service_id = :service;
SET volguard.service_down_time = 2147483647;
SELECT volguard.register_service('node-1', 'volume', 'settings') AS service \gset
SELECT volguard.heartbeat(:service);
RESET volguard.service_down_time;

SET volguard.service_down_time = 0; :code
SET volguard.service_down_time = -1; :code
SET volguard.service_down_time = 'never'; :code
SET volguard.auto_cleanup = 'perhaps'; :code
SET volguard.service_retention = -1; :code
SET volguard.event_retention = -1; :code
SET volguard.max_events = -1; :code
-- A misspelt name is an error, not a setting that nobody reads.
SET volguard.service_downtime = '2 min'; :code
SHOW volguard.service_down_time;

-- What is kept is the administrator's to say; the other two are anybody's.
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

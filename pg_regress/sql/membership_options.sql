-- The options of a membership, which Postgres has from 16 on: INHERIT gives the right to act for the role, SET alone doesn't.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT current_setting('server_version_num')::integer < 160000 AS older \gset
\if :older
\quit
\endif
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_options_team, regress_options_member, regress_options_inherited, regress_options_made, regress_options_maker;
RESET client_min_messages;
CREATE ROLE regress_options_team;
CREATE ROLE regress_options_member;
SELECT volguard.grant_operator(role) FROM unnest('{regress_options_team, regress_options_member}'::name[]) AS role;
CREATE TABLE options_volumes (id text PRIMARY KEY, status text);
INSERT INTO options_volumes VALUES ('v-1', 'available');
ALTER TABLE options_volumes OWNER TO regress_options_team;
SET ROLE regress_options_team;
SELECT volguard.register_service('node-1', 'volume', 'options') AS service \gset
SELECT volguard.acquire(:service, 'options', 'r-1') AS token \gset
RESET ROLE;

-- Without INHERIT it has to SET ROLE.
GRANT regress_options_team TO regress_options_member WITH INHERIT FALSE, SET TRUE;
SET SESSION AUTHORIZATION regress_options_member;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:service);
SELECT volguard.assert_held(:token);
SELECT volguard.release(:token);
SELECT volguard.register_service('node-2', 'volume', 'options');
SELECT volguard.track_resource('options', 'options_volumes');
\set VERBOSITY default
SET ROLE regress_options_team;
SELECT volguard.assert_held(:token), volguard.track_resource('options', 'options_volumes');
RESET SESSION AUTHORIZATION;

-- With INHERIT it may, also where it can't SET ROLE.
GRANT regress_options_team TO regress_options_member WITH INHERIT TRUE, SET FALSE;
SET SESSION AUTHORIZATION regress_options_member;
SET ROLE regress_options_team; :code
SELECT volguard.assert_held(:token), volguard.track_resource('options', 'options_volumes');
SELECT outcome FROM volguard.start_work(:service, 'options', 'v-1', '{"status": "deleting"}');
SELECT volguard.release(:token);
RESET SESSION AUTHORIZATION;

-- Who has made a role administers it, and may not act for it.
CREATE ROLE regress_options_maker CREATEROLE;
SET SESSION AUTHORIZATION regress_options_maker;
CREATE ROLE regress_options_made;
RESET SESSION AUTHORIZATION;
SELECT volguard.grant_usage(role) FROM unnest('{regress_options_maker, regress_options_made}'::name[]) AS role;
SET ROLE regress_options_made;
SELECT volguard.register_service('node-3', 'volume', 'options of the made') AS made \gset
SET SESSION AUTHORIZATION regress_options_maker;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:made);
SELECT volguard.register_service('node-3', 'volume', 'options of the made');
\set VERBOSITY default
SET createrole_self_grant = 'inherit';
CREATE ROLE regress_options_inherited;
RESET SESSION AUTHORIZATION;
SELECT volguard.grant_usage('regress_options_inherited');
SET ROLE regress_options_inherited;
SELECT volguard.register_service('node-4', 'volume', 'options of the inherited') AS made \gset
SET SESSION AUTHORIZATION regress_options_maker;
SELECT volguard.heartbeat(:made);
RESET SESSION AUTHORIZATION;

DELETE FROM volguard.resources WHERE resource_type = 'options';
DROP TABLE options_volumes;
DROP OWNED BY regress_options_team, regress_options_member, regress_options_maker, regress_options_made, regress_options_inherited;
DROP ROLE regress_options_made, regress_options_inherited, regress_options_maker, regress_options_member, regress_options_team;

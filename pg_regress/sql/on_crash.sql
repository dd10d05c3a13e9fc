-- on_crash: what a crash in a status makes of a resource. crash_rules has what a rule does when it runs.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_crash_alice, regress_crash_bob;
RESET client_min_messages;
CREATE TABLE crash_volumes (id text PRIMARY KEY, status text NOT NULL, size integer, previous_status text);
SELECT volguard.track_resource('crash-volume', 'crash_volumes');

SELECT volguard.on_crash('crash-volume', 'creating', '{"status": "error"}');
SELECT volguard.on_crash(resource_type => 'crash-volume', status => 'deleting', changes => '{"status": "error_deleting", "size": null, "previous_status": {"column": "status"}}');
SELECT resource_type, status, changes, target, owner = CURRENT_USER AS mine FROM volguard.crash_rules WHERE resource_type = 'crash-volume' ORDER BY status;
-- A second call replaces the rule. NULL for the values drops it, once or twice.
SELECT volguard.on_crash('crash-volume', 'creating', '{"status": "available", "size": {"mul": [{"column": "size"}, 2]}}');
SELECT volguard.on_crash('crash-volume', 'deleting', NULL), volguard.on_crash('crash-volume', 'deleting', NULL), volguard.on_crash('crash-volume', 'never', NULL);
SELECT status, changes FROM volguard.crash_rules WHERE resource_type = 'crash-volume' ORDER BY status;

-- Arguments that are NULL, empty, too long, untracked.
SELECT volguard.on_crash(NULL, 'creating', '{"status": "error"}'); :code
SELECT volguard.on_crash('crash-volume', NULL, '{"status": "error"}'); :code
SELECT volguard.on_crash('', 'creating', '{"status": "error"}'); :code
SELECT volguard.on_crash('crash-volume', '', '{"status": "error"}'); :code
SELECT volguard.on_crash(repeat('t', 256), 'creating', '{"status": "error"}'); :code
SELECT volguard.on_crash('crash-volume', repeat('s', 256), '{"status": "error"}'); :code
SELECT volguard.on_crash('crash-unknown', 'creating', '{"status": "error"}'); :code
SELECT volguard.on_crash('crash-unknown', 'creating', NULL); :code

-- A rule is checked when it is made, not after a crash. SQLSTATE alone: conditional_update has the messages.
\set VERBOSITY sqlstate
SELECT volguard.on_crash('crash-volume', 'bad', '{}');
SELECT volguard.on_crash('crash-volume', 'bad', 'null');
SELECT volguard.on_crash('crash-volume', 'bad', '"error"');
SELECT volguard.on_crash('crash-volume', 'bad', '["status", "error"]');
SELECT volguard.on_crash('crash-volume', 'bad', '{"no_such_column": 1}');
SELECT volguard.on_crash('crash-volume', 'bad', '{"status": {"column": "no_such_column"}}');
SELECT volguard.on_crash('crash-volume', 'bad', '{"status": {"no_such_operator": 1}}');
SELECT volguard.on_crash('crash-volume', 'bad', '{"size": "not a number"}');
SELECT volguard.on_crash('crash-volume', 'bad', '{"size": {"add": [{"column": "size"}]}}');
SELECT volguard.on_crash('crash-volume', 'bad', ('{"size": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb);
\set VERBOSITY default
-- The id can't be among the changes: the work is found by it.
SELECT volguard.on_crash('crash-volume', 'bad', '{"status": "error", "id": "other"}'); :code
SELECT status FROM volguard.crash_rules WHERE resource_type LIKE 'crash-%' OR resource_type = '' ORDER BY status;

-- What can't ever run is refused: a column that is generated, a status that no row can have.
CREATE TYPE crash_state AS ENUM ('creating', 'error');
CREATE DOMAIN crash_mood AS text CHECK (VALUE <> 'sad');
CREATE TABLE crash_hosts (name text PRIMARY KEY, other text UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE crash_strict (id integer PRIMARY KEY, status crash_state, mood crash_mood, short varchar(4), twice integer GENERATED ALWAYS AS (id * 2) STORED,
    serial integer GENERATED ALWAYS AS IDENTITY, host text REFERENCES crash_hosts DEFERRABLE INITIALLY DEFERRED, code integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
SELECT volguard.track_resource('crash-strict', 'crash_strict');
SELECT volguard.on_crash('crash-strict', 'creating', '{"twice": 2}'); :code
SELECT volguard.on_crash('crash-strict', 'creating', '{"serial": 2}'); :code
SELECT volguard.on_crash('crash-strict', 'creating', '{"status": "no label"}'); :code
SELECT volguard.on_crash('crash-strict', 'deleting', '{"status": "error"}'); :code
SELECT volguard.track_resource('crash-strict', 'crash_strict', 'id', 'mood');
SELECT volguard.on_crash('crash-strict', 'sad', '{"mood": "glad"}'); :code
SELECT volguard.on_crash('crash-strict', 'glad', '{"mood": "sad"}'); :code
SELECT volguard.track_resource('crash-strict', 'crash_strict', 'id', 'short');
SELECT volguard.on_crash('crash-strict', 'abcde', '{"short": "x"}'); :code
ALTER TABLE crash_strict RENAME short TO long;
SELECT volguard.on_crash('crash-strict', 'abc', '{"long": "x"}'); :code
-- What is deferred is no obstacle: while a rule runs, nothing is.
CREATE FUNCTION crash_note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
SELECT volguard.track_resource('crash-strict', 'crash_strict');
CREATE CONSTRAINT TRIGGER later AFTER UPDATE OF mood ON crash_strict DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crash_note();
SELECT volguard.on_crash('crash-strict', 'creating', '{"status": "error", "mood": "glad", "host": null, "code": 7}');
-- Literals are read under the settings that a rule runs under, not those of this session.
ALTER TABLE crash_strict ADD COLUMN due date;
SET DateStyle = 'German';
\set VERBOSITY terse
SELECT volguard.on_crash('crash-strict', 'creating', '{"due": "31.12.2026"}'); :code
\set VERBOSITY default
RESET DateStyle;
-- What is accepted runs.
INSERT INTO crash_strict (id, status) OVERRIDING SYSTEM VALUE VALUES (1, 'creating');
SELECT volguard.register_service('crash-node', 'crash', 'crash') AS one \gset
SELECT volguard.acquire(:one, 'crash-strict', '1', status => 'creating') > 0 AS got;
SELECT volguard.register_service('crash-node', 'crash', 'crash') > :one AS later;
SELECT state, awaiting FROM volguard.cleanup(:one);
SELECT status, mood, code FROM crash_strict;
DELETE FROM volguard.resources WHERE resource_type IN ('crash-strict', 'crash-host');
DROP TABLE crash_strict, crash_hosts;
DROP FUNCTION crash_note;
DROP TYPE crash_state;
DROP DOMAIN crash_mood;

-- The id can't be set if the type is tracked by another column later either: then the rule fails, and says so, and the work waits.
CREATE TABLE crash_renamed (id text PRIMARY KEY, number text UNIQUE, status text);
INSERT INTO crash_renamed VALUES ('a', '1', 'busy');
SELECT volguard.track_resource('crash-renamed', 'crash_renamed'), volguard.on_crash('crash-renamed', 'busy', '{"status": "error", "number": "2"}');
SELECT volguard.track_resource('crash-renamed', 'crash_renamed', 'number');
SELECT volguard.register_service('crash-node', 'crash', 'crash') AS one \gset
SELECT volguard.acquire(:one, 'crash-renamed', '1', status => 'busy') > 0 AS got;
SELECT volguard.register_service('crash-node', 'crash', 'crash') > :one AS later;
SELECT state, awaiting FROM volguard.cleanup(:one);
SELECT * FROM crash_renamed;
DELETE FROM volguard.workers WHERE cluster = 'crash';
DELETE FROM volguard.services WHERE cluster = 'crash';
DELETE FROM volguard.clusters WHERE name = 'crash';
DELETE FROM volguard.resources WHERE resource_type = 'crash-renamed';
DROP TABLE crash_renamed;

-- The triggers of a rule run under the registrar's search_path of this
-- moment; the temporary schema comes first only if the path says so.
SET search_path = public, "odd, ""schema";
SELECT volguard.on_crash('crash-volume', 'path-1', '{"status": "error"}');
SET search_path = '';
SELECT volguard.on_crash('crash-volume', 'path-2', '{"status": "error"}');
SET search_path = pg_temp, public;
SELECT volguard.on_crash('crash-volume', 'path-3', '{"status": "error"}');
RESET search_path;
SELECT status, search_path FROM volguard.crash_rules WHERE status LIKE 'path-%' ORDER BY status;

-- Privileges: those of the table's owner. All privileges on the table are not enough.
CREATE ROLE regress_crash_alice;
CREATE ROLE regress_crash_bob;
SELECT volguard.grant_operator('regress_crash_alice'), volguard.grant_operator('regress_crash_bob');
GRANT ALL ON crash_volumes TO regress_crash_alice;
SET ROLE regress_crash_alice;
SELECT volguard.on_crash('crash-volume', 'creating', '{"status": "stolen"}'); :code
SELECT volguard.on_crash('crash-volume', 'creating', NULL); :code
RESET ROLE;
CREATE TABLE crash_alice (id text PRIMARY KEY, status text, size integer);
ALTER TABLE crash_alice OWNER TO regress_crash_alice;
SET ROLE regress_crash_alice;
SELECT volguard.track_resource('crash-alice', 'crash_alice');
SELECT volguard.on_crash('crash-alice', 'creating', '{"status": "error"}');
SET ROLE regress_crash_bob;
SELECT volguard.on_crash('crash-alice', 'deleting', '{"status": "stolen"}'); :code
RESET ROLE;
GRANT regress_crash_alice TO regress_crash_bob;
SET ROLE regress_crash_bob;
SELECT volguard.on_crash('crash-alice', 'deleting', '{"status": "error"}');
RESET ROLE;
-- A rule has the name of the table's owner, whichever role has set it.
SELECT resource_type, status, changes, target, owner FROM volguard.crash_rules WHERE resource_type = 'crash-alice' OR changes @> '{"status": "stolen"}' ORDER BY status;

-- A dropped table: there is no owner that could set or drop a rule. An operator untracks the type.
DROP TABLE crash_alice;
SET ROLE regress_crash_alice;
SELECT volguard.on_crash('crash-alice', 'extending', '{"status": "error"}'); :code
SELECT volguard.on_crash('crash-alice', 'creating', NULL); :code
RESET ROLE;

BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.on_crash('crash-volume', 'rolled-back', '{"status": "error"}');
ROLLBACK;
SELECT count(*) FROM volguard.crash_rules WHERE status = 'rolled-back';

DELETE FROM volguard.resources WHERE resource_type LIKE 'crash-%';
SELECT count(*) FROM volguard.crash_rules WHERE resource_type LIKE 'crash-%';
DROP TABLE crash_volumes;
DROP OWNED BY regress_crash_alice, regress_crash_bob;
DROP ROLE regress_crash_alice, regress_crash_bob;

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
SELECT resource_type, status, changes, registered_by = CURRENT_USER::regrole AS mine FROM volguard.crash_rules WHERE resource_type = 'crash-volume' ORDER BY status;
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

-- Nor if the type is tracked by another column later: then the rule fails, and says so, and the work waits.
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

-- Privileges: members of the role that tracks the type, if they
-- can update its table. The rule then belongs to the caller.
CREATE ROLE regress_crash_alice;
CREATE ROLE regress_crash_bob;
SELECT volguard.grant_usage('regress_crash_alice'), volguard.grant_usage('regress_crash_bob');
GRANT SELECT, UPDATE ON crash_volumes TO regress_crash_alice;
SET ROLE regress_crash_alice;
SELECT volguard.on_crash('crash-volume', 'creating', '{"status": "stolen"}'); :code
SELECT volguard.on_crash('crash-volume', 'creating', NULL); :code
SELECT volguard.track_resource('crash-alice', 'crash_volumes');
SELECT volguard.on_crash('crash-alice', 'creating', '{"status": "error"}');
RESET ROLE;
GRANT regress_crash_alice TO regress_crash_bob;
SET ROLE regress_crash_bob;
SELECT volguard.on_crash('crash-alice', 'deleting', '{"status": "error"}');
RESET ROLE;
REVOKE UPDATE ON crash_volumes FROM regress_crash_alice;
SET ROLE regress_crash_alice;
SELECT volguard.on_crash('crash-alice', 'extending', '{"status": "error"}'); :code
-- Dropping a rule needs no privilege on the table.
SELECT volguard.on_crash('crash-alice', 'creating', NULL);
RESET ROLE;
SELECT resource_type, status, changes, registered_by FROM volguard.crash_rules WHERE resource_type = 'crash-alice' OR changes @> '{"status": "stolen"}';

BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.on_crash('crash-volume', 'rolled-back', '{"status": "error"}');
ROLLBACK;
SELECT count(*) FROM volguard.crash_rules WHERE status = 'rolled-back';

DELETE FROM volguard.resources WHERE resource_type LIKE 'crash-%';
SELECT count(*) FROM volguard.crash_rules WHERE resource_type LIKE 'crash-%';
DROP TABLE crash_volumes;
DROP OWNED BY regress_crash_alice, regress_crash_bob;
DROP ROLE regress_crash_alice, regress_crash_bob;

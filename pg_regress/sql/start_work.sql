-- start_work: the lock, the change of the row and the status of the work, all or nothing.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_work_member, regress_work_stranger;
RESET client_min_messages;
CREATE ROLE regress_work_member;
CREATE ROLE regress_work_stranger;
SELECT volguard.grant_usage('regress_work_member'), volguard.grant_usage('regress_work_stranger');
CREATE TABLE work_volumes (id text PRIMARY KEY, status text, size integer NOT NULL DEFAULT 1, owner text);
INSERT INTO work_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 9) AS n;
SELECT volguard.track_resource('work', 'work_volumes'), volguard.on_crash('work', 'extending', '{"status": "error_extending"}');
SELECT volguard.register_service('node-1', 'work', 'work') AS one, volguard.register_service('node-2', 'work', 'work') AS two \gset
CREATE VIEW work_held AS SELECT resource_id, lock_name, status, request_id IS NOT NULL AS request FROM volguard.lock_status WHERE resource_type = 'work' ORDER BY 1, 2;

-- Everything changes at once; the status of the work is the new status of the row.
SELECT token, token > 0 AS got, outcome, new_row, unmet FROM volguard.start_work(:one, 'work', 'v-1', '{"status": "extending", "size": {"add": [{"column": "size"}, 1]}}', '{"status": "available"}') \gset
SELECT :'got' AS got, :'outcome' AS outcome, :'new_row'::jsonb AS new_row, :'unmet' AS unmet;
SELECT * FROM work_held;
SELECT * FROM work_volumes WHERE id = 'v-1';
-- It works like any other lock.
SELECT volguard.assert_held(:token), volguard.acquire(:two, 'work', 'v-1') IS NULL AS refused;
-- The second caller gets neither lock nor change.
SELECT * FROM volguard.start_work(:two, 'work', 'v-1', '{"status": "deleting"}');
-- Another lock of the same resource doesn't help: one operation at a time. Plain locks are not affected.
SELECT * FROM volguard.start_work(:two, 'work', 'v-1', '{"status": "deleting"}', lock_name => 'other');
SELECT volguard.release(volguard.acquire(:two, 'work', 'v-1', lock_name => 'other'));
SELECT volguard.release(:token);

-- A refusal names every condition that failed, and changes
-- neither lock nor row; it keeps no row lock and draws no token.
SELECT last_value AS before FROM volguard.clock \gset
SELECT * FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', '{"status": ["in-use", "error"], "size": {"ge": 2}, "owner": null}',
                                  '{"exists": {"table": "work_volumes", "where": {"id": "v-0"}}}');
SELECT * FROM volguard.start_work(:one, 'work', 'v-0', '{"status": "extending"}');
SELECT * FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', wait => '10 ms', filter => '{"where": {"size": 2}}');
SELECT last_value - :before AS drawn FROM volguard.clock;
SELECT * FROM work_held;
BEGIN;
SELECT outcome FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', '{"status": "error"}');
SELECT outcome FROM volguard.start_work(:one, 'work', 'v-0', '{"status": "extending"}');
SELECT count(*) FROM pg_locks WHERE locktype IN ('advisory', 'tuple') OR relation = 'work_volumes'::regclass;
SELECT count(*) FROM work_volumes WHERE id = 'v-2' AND xmax <> 0 AND pg_xact_status(xmax::text::xid8) = 'in progress';
COMMIT;

-- Lock, row and status commit or roll back together.
BEGIN;
SELECT outcome FROM volguard.start_work(:one, 'work', 'v-3', '{"status": "extending"}');
ROLLBACK;
SELECT * FROM work_held;
SELECT status FROM work_volumes WHERE id = 'v-3';
-- An error later in the statement undoes everything.
SELECT 1 / (length(outcome) - 7) FROM volguard.start_work(:one, 'work', 'v-3', '{"status": "extending"}'); :code
SELECT * FROM work_held;

-- The same request again returns the same token, and the row as it is then; another request is refused.
SELECT token AS first FROM volguard.start_work(:one, 'work', 'v-4', '{"status": "extending"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004') \gset
UPDATE work_volumes SET size = 4 WHERE id = 'v-4';
SELECT token = :first AS same, outcome, new_row FROM volguard.start_work(:one, 'work', 'v-4', '{"status": "extending"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004');
SELECT * FROM volguard.start_work(:one, 'work', 'v-4', '{"status": "extending"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000005');
SELECT * FROM volguard.start_work(:two, 'work', 'v-4', '{"status": "extending"}', '{"status": "available"}', request_id => '00000000-0000-0000-0000-000000000004');
DELETE FROM work_volumes WHERE id = 'v-4';
SELECT token = :first AS same, outcome, new_row FROM volguard.start_work(:one, 'work', 'v-4', '{"status": "extending"}', request_id => '00000000-0000-0000-0000-000000000004');
SELECT volguard.release(:first);

-- If the values don't set the status, the work has the row's status; a trigger may still change it.
SELECT token FROM volguard.start_work(:one, 'work', 'v-5', '{"size": 5}') \gset
CREATE FUNCTION work_last_word() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.status := NEW.status || '-ish'; RETURN NEW; END$$;
CREATE TRIGGER last_word BEFORE UPDATE ON work_volumes FOR EACH ROW WHEN (NEW.status = 'extending') EXECUTE FUNCTION work_last_word();
SELECT token AS other FROM volguard.start_work(:one, 'work', 'v-6', '{"status": "extending"}') \gset
SELECT * FROM work_held;
DROP TRIGGER last_word ON work_volumes;
-- A trigger raises lock_not_available: the call returns at once, because it has nothing to wait for.
CREATE OR REPLACE FUNCTION work_last_word() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE lock_not_available; END$$;
CREATE TRIGGER last_word BEFORE UPDATE ON work_volumes FOR EACH ROW EXECUTE FUNCTION work_last_word();
SET statement_timeout = '10 s';
SELECT outcome FROM volguard.start_work(:one, 'work', 'v-7', '{"status": "extending"}', wait => '10 min');
RESET statement_timeout;
DROP TRIGGER last_word ON work_volumes;
SELECT volguard.release_all(ARRAY[:token, :other]);
-- A status is required, and a crash rule must be able to use it.
SELECT volguard.start_work(:one, 'work', 'v-7', '{"status": null}'); :code
SELECT volguard.start_work(:one, 'work', 'v-7', '{"status": ""}'); :code
SELECT volguard.start_work(:one, 'work', 'v-7', jsonb_build_object('status', repeat('x', 256))); :code
SELECT * FROM work_held;
SELECT status FROM work_volumes WHERE id = 'v-7';

-- Ids and statuses of any type.
CREATE TYPE work_state AS ENUM ('free', 'busy');
CREATE TABLE work_typed (number integer PRIMARY KEY, state work_state, code integer, padded char(12), flag boolean, list text[]);
INSERT INTO work_typed VALUES (17, 'free', 1, 'free', false, '{free}');
SELECT volguard.track_resource('typed', 'work_typed', 'number', 'state');
SELECT token, outcome, new_row FROM volguard.start_work(:one, 'typed', '17', '{"state": "busy"}', '{"state": "free"}') \gset
SELECT :'new_row'::jsonb ->> 'state' AS state, (SELECT status FROM volguard.lock_status WHERE token = :token), volguard.release(:token);
SELECT outcome FROM volguard.start_work(:one, 'typed', '18', '{"state": "busy"}');
SELECT volguard.start_work(:one, 'typed', 'seventeen', '{"state": "busy"}'); :code
SELECT volguard.start_work(:one, 'typed', 'seventeen', '{"state": "busy"}'); :code
SELECT volguard.track_resource('typed', 'work_typed', 'number', 'code');
SELECT token FROM volguard.start_work(:one, 'typed', '17', '{"code": 7}') \gset
SELECT (SELECT status FROM volguard.lock_status WHERE token = :token), volguard.release(:token);
SELECT volguard.track_resource('typed', 'work_typed', 'number', 'padded');
SELECT token FROM volguard.start_work(:one, 'typed', '17', '{"padded": "busy"}') \gset
SELECT '[' || (SELECT status FROM volguard.lock_status WHERE token = :token) || ']' AS status, volguard.release(:token);
SELECT volguard.track_resource('typed', 'work_typed', 'number', 'flag');
SELECT token FROM volguard.start_work(:one, 'typed', '17', '{"flag": true}') \gset
SELECT (SELECT status FROM volguard.lock_status WHERE token = :token), volguard.release(:token);
SELECT volguard.track_resource('typed', 'work_typed', 'number', 'list');
SELECT volguard.start_work(:one, 'typed', '17', '{"list": {"value": ["busy"]}}'); :code

-- The work of a dead holder is repaired on the way, if the call may wait; the conditions see the row as its rule has left
-- it.
SELECT volguard.register_service('node-3', 'work', 'work') AS dead \gset
SELECT outcome FROM volguard.start_work(:dead, 'work', 'v-8', '{"status": "extending"}');
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 day' WHERE service_id = :dead;
SELECT outcome, unmet FROM volguard.start_work(:one, 'work', 'v-8', '{"status": "extending"}', '{"status": "available"}');
SELECT outcome, unmet FROM volguard.start_work(:one, 'work', 'v-8', '{"status": "extending"}', '{"status": "available"}', wait => '1 min');
SELECT status FROM work_volumes WHERE id = 'v-8';
SELECT * FROM work_held;
SELECT outcome, new_row ->> 'status' AS status FROM volguard.start_work(:one, 'work', 'v-8', '{"status": "extending"}', '{"status": "error_extending"}');
-- A dead service can start nothing, nor can a stranger for it.
\set VERBOSITY sqlstate
SELECT volguard.start_work(:dead, 'work', 'v-9', '{"status": "extending"}');
SELECT volguard.start_work(-1, 'work', 'v-9', '{"status": "extending"}');
UPDATE volguard.services SET heartbeat_at = now() - interval '1 day' WHERE service_id = :two;
SELECT volguard.start_work(:two, 'work', 'v-9', '{"status": "extending"}');
SET ROLE regress_work_stranger;
SELECT volguard.start_work(:one, 'work', 'v-9', '{"status": "extending"}');
RESET ROLE;
\set VERBOSITY default
SELECT status FROM work_volumes WHERE id = 'v-9';

-- For the table, the caller's privileges and policies apply.
SET ROLE regress_work_member;
SELECT volguard.register_service('node-4', 'work', 'work of others') AS four \gset
SELECT volguard.start_work(:four, 'work', 'v-9', '{"status": "extending"}'); :code
RESET ROLE;
GRANT SELECT, UPDATE ON work_volumes TO regress_work_member;
UPDATE work_volumes SET owner = 'regress_work_member' WHERE id = 'v-9';
ALTER TABLE work_volumes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON work_volumes USING (owner = CURRENT_USER);
SET ROLE regress_work_member;
SELECT outcome FROM volguard.start_work(:four, 'work', 'v-2', '{"status": "extending"}');
SELECT token, outcome FROM volguard.start_work(:four, 'work', 'v-9', '{"status": "extending"}') \gset
SELECT :'outcome' AS outcome, volguard.release(:token);
RESET ROLE;
ALTER TABLE work_volumes DISABLE ROW LEVEL SECURITY;

-- SQL of the caller, as in conditional_update; its own documents' errors too.
SELECT token, outcome, new_row FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', filter_sql => 'size = 1 AND EXISTS (SELECT FROM work_typed)', changes_sql => '{"owner": "upper(target.id)"}') \gset
SELECT :'outcome' AS outcome, :'new_row'::jsonb AS new_row, volguard.release(:token) AS released;
SELECT outcome, unmet FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', '{"status": "error"}', filter_sql => 'size > 1');
SELECT token, new_row FROM volguard.start_work(:one, 'work', 'v-2', '{}', changes_sql => '{"status": "lower(''AVAILABLE'')"}') \gset
SELECT :'new_row'::jsonb ->> 'status' AS status, volguard.release(:token) AS released;
UPDATE work_volumes SET owner = NULL WHERE id = 'v-2';
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "x"}', filter_sql => 'size = 1) OR (true'); :code
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "x"}', changes_sql => '{"status": "1"}'); :code
-- The target says which table the caller means.
SELECT token, outcome FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', target => 'work_volumes') \gset
SELECT :'outcome' AS outcome, volguard.release(:token) AS released;
UPDATE work_volumes SET status = 'available' WHERE id = 'v-2';
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "x"}', target => 'work_typed'); :code
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "x"}', target => 1); :code
-- The id is what the work is found by, so it can't be among the changes.
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "x", "id": "v-22"}'); :code
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "x"}', changes_sql => '{"id": "id"}'); :code
-- What other tables hold is seen under READ COMMITTED only. It is refused before the call waits for anything.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', filter => '{"not": {"exists": {"table": "work_typed"}}}'); :code
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', changes_sql => '{"size": "size"}'); :code
ROLLBACK;

-- Waiting works under READ COMMITTED only. Without a wait every level works.
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', wait => '-1 s'); :code
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', wait => '1 s'); :code
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT outcome FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}', '{"status": "available"}');
ROLLBACK;
BEGIN READ ONLY;
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "extending"}'); :code
ROLLBACK;

-- NULL for each argument; for one with a default it means the default.
SELECT volguard.start_work(NULL, 'work', 'v-2', '{"status": "x"}'); :code
SELECT volguard.start_work(:one, NULL, 'v-2', '{"status": "x"}'); :code
SELECT volguard.start_work(:one, 'work', NULL, '{"status": "x"}'); :code
SELECT volguard.start_work(:one, 'work', 'v-2', NULL); :code
BEGIN;
SELECT outcome FROM volguard.start_work(:one, 'work', 'v-2', '{"status": "x"}', NULL, NULL, lock_name => NULL, wait => NULL, request_id => NULL);
ROLLBACK;
-- Bad input. A mistake in the documents is reported whether the lock is free or not.
SELECT volguard.start_work(:one, '', 'v-2', '{"status": "x"}'); :code
SELECT volguard.start_work(:one, 'unheard of', 'v-2', '{"status": "x"}'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '{}'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '[]'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '{"colour": "red"}'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '{"size": "big"}'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '{"status": "x"}', '{"size": {"near": 7}}'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '{"status": "x"}', '{"id": "v-8", "stat": "x"}'); :code
SELECT volguard.start_work(:one, 'work', 'v-8', '{"status": "x"}', filter => '{"any": [{"exists": {"table": "nowhere"}}]}'); :code
SELECT volguard.start_work(:one, 'work', 'v-2', '{"status": "extending", "size": null}'); :code
-- The table has changed since it was tracked.
ALTER TABLE work_volumes RENAME id TO volume_id;
SELECT volguard.start_work(:one, 'work', 'v-2', '{"size": 2}'); :code
ALTER TABLE work_volumes RENAME volume_id TO id;
ALTER TABLE work_volumes RENAME status TO state;
SELECT volguard.start_work(:one, 'work', 'v-2', '{"size": 2}'); :code
ALTER TABLE work_volumes RENAME state TO status;
SELECT * FROM work_held;
SELECT * FROM work_volumes WHERE id = 'v-2';
CREATE TABLE work_gone (id text, status text);
INSERT INTO work_gone VALUES ('twice', 'free'), ('twice', 'free');
SELECT volguard.track_resource('gone', 'work_gone');
SELECT volguard.start_work(:one, 'gone', 'twice', '{"status": "x"}'); :code
DROP TABLE work_gone;
SELECT volguard.start_work(:one, 'gone', 'v', '{"status": "x"}'); :code

DELETE FROM volguard.workers WHERE cluster = 'work';
DELETE FROM volguard.services WHERE cluster = 'work';
DELETE FROM volguard.clusters WHERE name = 'work';
DELETE FROM volguard.resources WHERE resource_type IN ('work', 'typed', 'gone');
DROP VIEW work_held;
DROP TABLE work_volumes, work_typed;
DROP TYPE work_state;
DROP FUNCTION work_last_word;
DROP OWNED BY regress_work_member, regress_work_stranger;
DROP ROLE regress_work_member, regress_work_stranger;

-- The ids of a tracked type: one spelling for each resource, whatever its caller writes.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE ids (small smallint, number integer, big bigint, uuid uuid, words text, name32 varchar(32), padded char(4),
                  identifier name, bytes bytea, address inet, oid oid, status text, amount numeric, half real, at timestamptz, day date, took interval, doc jsonb, flag boolean);
SELECT volguard.register_service('node-1', 'volume', 'ids') AS one, volguard.register_service('node-2', 'volume', 'ids') AS two \gset
CREATE FUNCTION held(tracked text, first text, second text, service bigint, other bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
    kept text;
BEGIN
    PERFORM volguard.track_resource('ids', 'ids', tracked, 'status');
    taken := volguard.acquire(service, 'ids', first);
    SELECT resource_id INTO kept FROM volguard.lock_status WHERE token = taken;
    RETURN format('%s: %s kept as %s, second spelling %s', tracked, first, kept,
                  CASE WHEN volguard.acquire(other, 'ids', second) IS NULL THEN 'locked' ELSE 'free' END)
           || CASE WHEN volguard.reset_resource('ids', second) = 1 THEN ', reset' ELSE '' END;
END
$$;
SELECT held('small', '07', '+7', :one, :two);
SELECT held('number', ' 7', '7 ', :one, :two);
SELECT held('big', '-0', '0', :one, :two);
SELECT held('uuid', '{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}', 'a0eebc999c0b4ef8bb6d6bb9bd380a11', :one, :two);
SELECT held('words', 'v-1', 'v-1', :one, :two);
SELECT held('name32', 'v-1', 'v-1', :one, :two);
SELECT held('padded', 'v-1', 'v-1 ', :one, :two);
SELECT held('identifier', repeat('a', 70), repeat('a', 63), :one, :two);
SELECT held('address', '10.0.0.1/32', '10.0.0.1', :one, :two);
SELECT held('oid', '007', ' 7', :one, :two);
SET bytea_output = 'escape';
SELECT held('bytes', 'abc', '\x616263', :one, :two);
RESET bytea_output;
-- A text keeps its blanks and its capitals.
SELECT volguard.track_resource('ids', 'ids', 'words', 'status');
SELECT volguard.acquire(:one, 'ids', 'V ') IS NOT NULL AS one, volguard.acquire(:two, 'ids', 'v') IS NOT NULL AS other;
SELECT volguard.reset_resource('ids', 'V '), volguard.reset_resource('ids', 'v');

-- Types whose equal values have several texts, or whose texts depend on a setting.
SELECT format('SELECT volguard.track_resource(''ids'', ''ids'', %L, ''status'')', c) FROM unnest('{amount,half,at,day,took,doc,flag}'::text[]) AS c \gexec
CREATE COLLATION ids_nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE ids_nocase (id text COLLATE ids_nocase PRIMARY KEY, status text);
SELECT volguard.track_resource('nocase', 'ids_nocase', 'id', 'status'); :code
CREATE DOMAIN ids_number AS integer CHECK (value > 0);
CREATE TABLE ids_domain (id ids_number PRIMARY KEY, status text);
SELECT volguard.track_resource('domain', 'ids_domain', 'id', 'status');
SELECT volguard.acquire(:one, 'domain', '07') IS NOT NULL AS got;
SELECT resource_id FROM volguard.lock_status WHERE resource_type = 'domain';
SELECT volguard.reset_resource('domain', '+7');

-- What the type refuses, and what is nothing in it.
SELECT volguard.track_resource('ids', 'ids', 'number', 'status');
SELECT volguard.acquire(:one, 'ids', 'v-1'); :code
SELECT volguard.acquire(:one, 'ids', '2147483648'); :code
SELECT volguard.start_work(:one, 'ids', 'v-1', '{"status": "busy"}'); :code
SELECT volguard.reset_resource('ids', 'v-1'); :code
SELECT * FROM volguard.cleanup(resource_type => 'ids', resource_id => 'v-1'); :code
SELECT volguard.acquire_all(:one, '[{"resource_type": "plain", "resource_id": "v-1"}, {"resource_type": "ids", "resource_id": "v-1"}]'); :code
SELECT volguard.track_resource('ids', 'ids', 'padded', 'status');
SELECT volguard.acquire(:one, 'ids', '  '); :code

-- The limit is that of the spelling that is kept: views show it, and calls take it.
SELECT volguard.track_resource('ids', 'ids', 'bytes', 'status');
SELECT volguard.acquire(:one, 'ids', repeat('q', 511)) IS NOT NULL AS longest;
SELECT volguard.acquire(:one, 'ids', repeat('q', 512)); :code
SELECT volguard.reset_resource('ids', (SELECT resource_id FROM volguard.lock_status WHERE resource_type = 'ids'));

-- Several at once: the answer has the spelling that is kept, and two spellings of one lock are one lock.
SELECT volguard.track_resource('ids', 'ids', 'number', 'status');
SELECT volguard.acquire_all(:one, '[{"resource_type": "ids", "resource_id": "07"}, {"resource_type": "plain", "resource_id": "07"}, {"resource_type": "ids", "resource_id": " 7"}]'); :code
SELECT volguard.acquire_all(:one, '[{"resource_type": "ids", "resource_id": "07", "lock_name": "a", "status": "busy"}, {"resource_type": "ids", "resource_id": " 7", "status": "busy"}]'); :code
SELECT resource_type, resource_id FROM volguard.acquire_all(:one, '[{"resource_type": "ids", "resource_id": "07"}, {"resource_type": "plain", "resource_id": "07"}]');
SELECT volguard.acquire(:two, 'ids', '7') IS NULL AS held, volguard.acquire(:two, 'plain', '7') IS NULL AS held;
SELECT volguard.release_all(array_agg(token)) FROM volguard.lock_status WHERE cluster = 'ids';

-- Work: one slot for the resource, and a cleanup finds it by any spelling. The same request is the same, too.
INSERT INTO ids (number, status) VALUES (7, 'available');
SELECT volguard.on_crash('ids', 'busy', '{"status": "error"}');
SELECT token, outcome FROM volguard.start_work(:one, 'ids', '07', '{"status": "busy"}', request_id => '00000000-0000-0000-0000-000000000007') \gset first_
SELECT token = :first_token AS same, outcome FROM volguard.start_work(:one, 'ids', '+7', '{"status": "busy"}', request_id => '00000000-0000-0000-0000-000000000007');
SELECT token, outcome FROM volguard.start_work(:two, 'ids', ' 7', '{"status": "busy"}', lock_name => 'other');
\set VERBOSITY sqlstate
SELECT volguard.set_status(volguard.acquire(:two, 'ids', '0007', 'other'), 'busy');
\set VERBOSITY default
SELECT resource_id, status FROM volguard.lock_status WHERE resource_type = 'ids';
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
SELECT FROM volguard.cleanup(resource_type => 'ids', resource_id => '+07') \g /dev/null
SELECT resources_cleaned FROM volguard.cleanup(resource_type => 'ids', resource_id => '+07');
SELECT status FROM ids WHERE number = 7;

-- A type is not tracked while a lock has another spelling.
SELECT volguard.acquire(:two, 'late', '07') AS token \gset
SELECT volguard.track_resource('late', 'ids', 'number', 'status'); :code
SELECT volguard.release(:token), volguard.acquire(:two, 'late', 'v-1') AS token \gset
SELECT volguard.track_resource('late', 'ids', 'number', 'status'); :code
SELECT volguard.release(:token), volguard.acquire(:two, 'late', '7') AS token \gset
SELECT volguard.track_resource('late', 'ids', 'number', 'status');
SELECT volguard.acquire(:two, 'late', '07') IS NULL AS held;
-- Nor does it move to a table whose ids are spelled otherwise.
SELECT volguard.track_resource('late', 'ids', 'uuid', 'status'); :code
-- DDL changes the spelling of no lock: the column gets another name, another type, and the table goes.
CREATE TABLE ids_gone (id integer, status text);
SELECT volguard.track_resource('gone', 'ids_gone', 'id', 'status');
SELECT volguard.acquire(:two, 'gone', '07') AS token \gset
ALTER TABLE ids_gone RENAME COLUMN id TO number;
SELECT volguard.acquire(:two, 'gone', '07') IS NULL AS held, volguard.acquire(:two, 'gone', '7') IS NULL AS held;
ALTER TABLE ids_gone ALTER COLUMN number TYPE text;
SELECT volguard.acquire(:two, 'gone', '07') IS NULL AS held, volguard.acquire(:two, 'gone', '7') IS NULL AS held;
-- The lock and its row have the same id.
INSERT INTO ids_gone VALUES ('07', 'available'), ('8', 'available');
ALTER TABLE ids_gone RENAME COLUMN number TO id;
SELECT outcome FROM volguard.start_work(:two, 'gone', '07', '{"status": "busy"}', lock_name => 'work');
SELECT outcome, new_row, token FROM volguard.start_work(:two, 'gone', '08', '{"status": "busy"}', lock_name => 'work') \gset eight_
SELECT outcome, new_row FROM volguard.finish_work(:eight_token, '{"status": "available"}');
DROP TABLE ids_gone;
SELECT volguard.acquire(:two, 'gone', '07') IS NULL AS held, volguard.acquire(:two, 'gone', '7') IS NULL AS held;

DELETE FROM volguard.workers WHERE cluster = 'ids';
DELETE FROM volguard.resources WHERE resource_type IN ('ids', 'domain', 'late', 'gone', 'nocase');
DROP FUNCTION held;
DROP TABLE ids, ids_domain, ids_nocase;
DROP DOMAIN ids_number;
DROP COLLATION ids_nocase;

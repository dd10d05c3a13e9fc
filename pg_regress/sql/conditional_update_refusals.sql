-- conditional_update: what it refuses, each with its SQLSTATE and without a change; privileges; a hostile search_path.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_no;
SET search_path = cu_no;
CREATE TABLE volumes (id integer PRIMARY KEY, status text NOT NULL, size integer, gone integer);
INSERT INTO volumes VALUES (1, 'available', 10, 1), (2, 'in-use', 20, 2);
ALTER TABLE volumes DROP COLUMN gone;

-- NULL for each required argument.
SELECT volguard.conditional_update(NULL, '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', NULL, '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', NULL); :code
-- NULL for the other arguments means that they are left out.
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 1}', '{"size": 10}', NULL, NULL, NULL, NULL, NULL);

-- A name by which the reader of JSON passes numbers on would make a number of an object. In a string it is text.
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"status": {"value": {"a": {"$serde_json::private::Number": "1"}}}}'); :code
SELECT * FROM volguard.acquire_all(-1, '[{"resource_type": "t", "resource_id": "r", "details": {"$serde_json::private::Number": "5"}}]'); :code
SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": 1}', '{"size": 10}', '{"status": "\"$serde_json::private::Number\": 1"}');

-- Nothing to find a row by, and nothing to set.
SELECT volguard.conditional_update('volumes', '{}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{}', changes_sql => '{}'); :code

-- Malformed documents name the place.
SELECT volguard.conditional_update('volumes', '[1]', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '"size"'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', 'null'); :code
SELECT volguard.conditional_update('volumes', '{"id": [1, 2]}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": {"not": 1}}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": [0]}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"raise": [1, 2]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"add": [1]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"add": [1, {"sub": [2, null]}]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"add": [1, true]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"column": ["size"]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"status": {"is": "available"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"status": {"null": true}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"status": {"not": ["a", ["b"]]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"status": {"not": "a", "null": 1}}'); :code
-- Too deep, for volguard and for the parser; too many.
\set VERBOSITY terse
SELECT volguard.conditional_update('volumes', '{"id": 1}', ('{"size": ' || repeat('{"add": [1, ', 20) || '1' || repeat(']}', 20) || '}')::jsonb); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', ('{"size": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', jsonb_build_object('size', (SELECT jsonb_agg(n) FROM generate_series(1, 10000) AS n))); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', (SELECT jsonb_object_agg('c' || n, n) FROM generate_series(1, 1601) AS n)); :code
-- The name that serde_json uses internally for numbers has no meaning here.
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"$serde_json::private::Number": "0 WHERE false; --"}}'); :code
\set VERBOSITY default

-- Columns that the table doesn't have, with a suggestion.
SELECT volguard.conditional_update('volumes', '{"idd": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"Size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"statsu": "available"}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"add": [1, {"column": "sise"}]}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"gone": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"........pg.dropped.4........": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"ctid": "(0,1)"}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"xmin": 1}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"column": "tableoid"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', jsonb_build_object(repeat('x', 300), 0)); :code

-- Not a table.
CREATE VIEW seen AS SELECT id, count(*) AS size FROM volumes GROUP BY id;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM volumes;
CREATE SEQUENCE numbers;
SELECT volguard.conditional_update('seen', '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('stored', '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('numbers', '{"last_value": 1}', '{"last_value": 0}'); :code
SELECT volguard.conditional_update('volumes_pkey', '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update(1::regclass, '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('nowhere', '{"id": 1}', '{"size": 0}'); :code
-- A table whose updates a rule replaces.
CREATE TABLE ruled (id integer);
CREATE RULE elsewhere AS ON UPDATE TO ruled DO INSTEAD NOTHING;
\set VERBOSITY sqlstate
SELECT volguard.conditional_update('ruled', '{"id": 1}', '{"id": 2}');
-- A read-only transaction can't write.
BEGIN READ ONLY;
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}');
ROLLBACK;
\set VERBOSITY default

-- No part of a document is read as SQL.
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size\" = 0 WHERE true; --": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": {"column": "size + 1"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id\" = \"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes', '{"id": "1 OR true"}', '{"size": 0}'); :code
SELECT volguard.conditional_update('volumes; DROP TABLE volumes', '{"id": 1}', '{"size": 0}'); :code
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 2}', '{"status": "x''); DROP TABLE volumes; --"}', '{"status": ["'' OR true --", "in-use"]}');
SELECT * FROM volumes ORDER BY id;

UPDATE volumes SET status = 'in-use' WHERE id = 2;

-- The caller's privileges, and no others: EXECUTE on the function is not
-- enough, and only the role of the service may use the token as a fence.
CREATE ROLE regress_cu_clerk;
CREATE ROLE regress_cu_stranger;
GRANT USAGE ON SCHEMA cu_no TO regress_cu_clerk, regress_cu_stranger;
SELECT volguard.register_service('node', 'volume', 'cu_no') AS service \gset
SELECT volguard.acquire(:service, 'volume', '1') AS token \gset
SET ROLE regress_cu_clerk;
\set VERBOSITY sqlstate
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}');
RESET ROLE;
SELECT volguard.grant_usage('regress_cu_clerk');
SET ROLE regress_cu_clerk;
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}');
RESET ROLE;
GRANT SELECT, UPDATE (status) ON volumes TO regress_cu_clerk;
SET ROLE regress_cu_clerk;
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}');
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"size": 0}', '{"status": "not this"}');
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"status": "x"}', fence => :token);
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 1}', '{"status": "deleting"}', '{"size": 10}');
SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": 1}', '{"status": "deleting"}', '{"size": 11}');
SELECT volguard.conditional_update('volguard.workers', jsonb_build_object('token', :token), '{"status": "x"}');
RESET ROLE;
\set VERBOSITY default
-- Row-level security: a row that the caller can't see does not exist; a new row that the policy forbids is refused.
ALTER TABLE volumes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON volumes TO regress_cu_clerk USING (id = 1) WITH CHECK (status <> 'forbidden');
SET ROLE regress_cu_clerk;
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 1}', '{"status": "seen"}', '{"status": "deleting"}');
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 2}', '{"status": "seen"}', '{"status": "in-use"}');
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"status": "forbidden"}'); :code
RESET ROLE;
-- The same backend and plan, with a role that the policy does not apply to.
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 2}', '{"status": "seen"}', '{"status": "in-use"}');
SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": 2}', '{"status": "seen"}', '{"status": "in-use"}');

-- A hostile search_path: what the caller puts in front of
-- pg_catalog is never called, and a temporary table hides nothing.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.yes(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE FUNCTION hostile.yes(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE FUNCTION hostile.sum(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.yes);
CREATE OPERATOR hostile.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.yes);
CREATE OPERATOR hostile.+ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.sum);
CREATE FUNCTION hostile.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE FUNCTION hostile.count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (false);
CREATE TABLE hostile.volumes (id integer);
CREATE TEMPORARY TABLE volumes (id integer PRIMARY KEY, status pg_catalog.text);
SET search_path = hostile, pg_temp, pg_catalog, cu_no;
SELECT 1 = 1;
SELECT (volguard.conditional_update('cu_no.volumes', '{"id": 1}', '{"size": {"add": [{"column": "size"}, 1]}}', '{"status": ["seen", null]}')).outcome;
SELECT (volguard.conditional_update('cu_no.volumes', '{"status": "seen", "id": 1}', '{"size": 0}', '{"status": {"not": "seen"}}')).unmet;
SELECT (volguard.conditional_update('cu_no.volumes', '{"size": 11}', '{"size": 12}')).outcome;
RESET search_path;
SELECT * FROM cu_no.volumes ORDER BY id;
-- A temporary table works like any table.
INSERT INTO pg_temp.volumes VALUES (1, 'temporary');
SELECT outcome, new_row FROM volguard.conditional_update('pg_temp.volumes', '{"id": 1}', '{"status": "x"}', '{"status": "temporary"}');
DROP TABLE pg_temp.volumes;

SELECT volguard.release(:token);
SELECT volguard.deregister_service(:service);
DROP SCHEMA cu_no CASCADE;
DROP SCHEMA hostile CASCADE;
DROP OWNED BY regress_cu_clerk, regress_cu_stranger;
DROP ROLE regress_cu_clerk, regress_cu_stranger;

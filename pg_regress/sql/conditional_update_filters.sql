-- conditional_update: comparisons, filters over several columns, sub-queries on other tables, and the indexes they use.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_filter;
SET search_path = cu_filter;

-- Every comparison with a number and with NULL; each holds or doesn't, so its "not" is the opposite.
CREATE TABLE numbers (id text PRIMARY KEY, a integer, b integer, touched integer NOT NULL DEFAULT 0);
INSERT INTO numbers VALUES ('null', NULL, NULL), ('1', 1, 2), ('2', 2, 2), ('3', 3, 2), ('4', 4, NULL);
CREATE FUNCTION holds_for(filter jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(id, ',' ORDER BY id) FILTER (WHERE outcome = 'updated')
    FROM cu_filter.numbers, volguard.conditional_update('cu_filter.numbers', jsonb_build_object('id', id),
        '{"touched": {"add": [{"column": "touched"}, 1]}}', filter => filter)
$$;
SELECT c AS condition, holds_for(jsonb_build_object('where', jsonb_build_object('a', c))) AS holds_for,
       holds_for(jsonb_build_object('not', jsonb_build_object('where', jsonb_build_object('a', c)))) AS not_for
FROM unnest(ARRAY['{"lt": 2}', '{"le": 2}', '{"gt": 2}', '{"ge": 2}', '{"eq": 2}', '{"ne": 2}', '{"eq": null}', '{"ne": null}',
                  '{"ge": 2, "lt": 4}', '{"eq": {"column": "b"}}', '{"ne": {"column": "b"}}', '{"lt": {"column": "b"}}', '{"ge": {"column": "b"}}',
                  '{"gt": {"add": [{"column": "b"}, 0.5]}}', '{"eq": {"mul": [2, {"column": "b"}]}}', '{"eq": {"value": 3}}', '[1, {"value": 4}, null]', '{"value": null}', '{"not": {"value": null}}', '{"not": [1, {"value": null}]}', '{"eq": {"value": null}}',
                  '{"le": {"case": [{"when": {"where": {"b": null}}, "then": 4}], "else": {"column": "b"}}}']::jsonb[]) WITH ORDINALITY AS t (c, n)
ORDER BY n;
SELECT f AS filter, holds_for(f)
FROM unnest(ARRAY['{"all": []}', '{"any": []}', '{"where": {}}', '{"not": {"any": []}}',
                  '{"all": [{"where": {"a": {"ge": 2}}}, {"where": {"b": 2}}]}', '{"any": [{"where": {"a": 1}}, {"where": {"b": null}}]}',
                  '{"not": {"all": [{"where": {"a": {"ge": 2}}}, {"where": {"b": 2}}]}}', '{"where": {"a": {"not": [1, 2]}, "b": {"not": null}}}',
                  '{"not": {"not": {"where": {"a": {"lt": {"column": "b"}}}}}}']::jsonb[]) WITH ORDINALITY AS t (f, n)
ORDER BY n;

-- Types compare as Postgres compares them, without any operator of the search_path.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE mixed (id integer PRIMARY KEY, small smallint, big bigint, n numeric, v varchar(10), t text, c char(5), at timestamptz, day date,
    wall timestamp, m mood, u uuid, tags text[], ip inet, span interval, j json, p point);
INSERT INTO mixed VALUES (1, 5, 50, 5.5, 'abc', 'abd', 'abc', '2026-01-02 00:00+00', '2026-01-01', '2026-01-01 10:00', 'ok',
    '00000000-0000-0000-0000-000000000002', '{b,c}', '10.0.0.1', '1 day', '{}');
SET timezone = 'UTC';
SELECT c AS condition, (volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', filter => jsonb_build_object('where', c))).outcome
FROM unnest(ARRAY['{"small": {"lt": {"column": "big"}}}', '{"small": {"lt": {"column": "n"}}}', '{"n": {"gt": {"column": "small"}}}', '{"v": {"lt": {"column": "t"}}}',
                  '{"c": {"eq": {"column": "v"}}}', '{"at": {"gt": {"column": "day"}}}', '{"day": {"lt": {"add": [{"column": "day"}, "1 hour"]}}}',
                  '{"wall": {"gt": {"column": "day"}}}', '{"at": {"lt": {"now": true}}}', '{"at": {"lt": {"sub": [{"now": true}, "5 minutes"]}}}',
                  '{"m": {"lt": "happy"}}', '{"m": {"gt": "happy"}}', '{"u": {"gt": "00000000-0000-0000-0000-000000000001"}}', '{"tags": {"gt": {"value": ["b"]}}}',
                  '{"tags": {"value": ["b", "c"]}}', '{"ip": {"lt": "10.0.0.2"}}', '{"span": {"eq": "24:00:00"}}', '{"t": {"eq": {"concat": ["ab", "d"]}}}',
                  '{"t": {"eq": {"concat": [{"column": "small"}, true]}}}']::jsonb[]) WITH ORDINALITY AS t (c, n)
ORDER BY n;
\set VERBOSITY terse
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', '{"u": {"gt": {"column": "t"}}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', '{"m": {"gt": {"column": "t"}}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', '{"small": {"gt": "many"}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', '{"small": {"gt": {"add": [{"column": "u"}, 1]}}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', filter => '{"where": {"p": {"lt": "(1,2)"}}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', filter => '{"where": {"p": {"eq": "(1,2)"}}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', '{"small": {"eq": {"value": [1]}}}'); :code
SELECT volguard.conditional_update('mixed', '{"id": 1}', '{"id": 1}', '{"small": {"eq": {"value": {"a": 1}}}}'); :code
\set VERBOSITY default

-- Other tables: outer is the row that is updated.
CREATE TABLE volumes (id integer PRIMARY KEY, status text, pool integer, name text);
CREATE TABLE snapshots (id integer PRIMARY KEY, volume_id integer, deleted boolean, size integer);
CREATE TABLE backups (id integer PRIMARY KEY, snapshot_id integer, volume_id integer, pool integer);
INSERT INTO volumes VALUES (1, 'available', 7, 'one'), (2, 'available', NULL, 'two'), (3, 'available', 8, 'three');
INSERT INTO snapshots VALUES (11, 1, false, 5), (12, 2, true, 6), (13, NULL, false, 7);
INSERT INTO backups VALUES (21, 11, 1, 7), (22, 12, 1, NULL);
CREATE FUNCTION volumes_with(filter jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(id::text, ',' ORDER BY id) FILTER (WHERE outcome = 'updated')
    FROM cu_filter.volumes, volguard.conditional_update('cu_filter.volumes', jsonb_build_object('id', id), '{"status": {"column": "status"}}', filter => filter)
$$;
SELECT volumes_with('{"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false}}}') AS snapshotted,
       volumes_with('{"not": {"exists": {"table": "cu_filter.snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false}}}}') AS not_snapshotted,
       volumes_with('{"exists": {"table": "snapshots"}}') AS any_at_all,
       volumes_with('{"exists": {"table": "snapshots", "where": {"volume_id": null, "size": {"gt": {"add": [{"outer": "id"}, {"column": "id"}]}}}}}') AS none,
       volumes_with('{"exists": {"table": "volumes", "where": {"id": {"gt": {"outer": "id"}}}}}') AS of_the_same_table;
SELECT volumes_with('{"exists": {"table": "backups", "where": {"pool": {"eq": {"outer": "pool"}}}}}') AS null_equals_null,
       volumes_with('{"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}}, "filter": {"any": [{"where": {"deleted": true}}, {"where": {"size": {"lt": {"outer": "pool"}}}}]}}}') AS filtered;
SELECT unmet FROM volguard.conditional_update('volumes', '{"id": 1}', '{"status": "deleting"}', '{"status": "error", "pool": 7}',
    '{"not": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}}}}}', filter_sql => 'name <> ''one''');

-- Nested: outer names the row that it means, by "as", by the name of its table, or "target".
SELECT volumes_with('{"exists": {"table": "snapshots", "filter": {"exists": {"table": "backups", "where": {"volume_id": {"eq": {"outer": ["target", "id"]}}}}}}}') AS of_the_target,
       volumes_with('{"exists": {"table": "cu_filter.snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}}, "filter": {"exists": {"table": "backups", "where": {"snapshot_id": {"eq": {"outer": ["snapshots", "id"]}}}}}}}') AS of_its_snapshot,
       volumes_with('{"exists": {"table": "snapshots", "as": "s", "where": {"volume_id": {"eq": {"outer": ["target", "id"]}}}, "filter": {"not": {"exists": {"table": "backups", "where": {"snapshot_id": {"eq": {"outer": ["s", "id"]}}, "pool": {"eq": {"outer": ["target", "pool"]}}}}}}}}') AS of_both,
       volumes_with('{"exists": {"table": "volumes", "as": "a", "where": {"id": {"gt": {"outer": "id"}}}, "filter": {"exists": {"table": "volumes", "as": "b", "where": {"id": {"gt": {"outer": ["a", "id"]}}}, "filter": {"where": {"pool": {"gt": {"outer": ["target", "pool"]}}}}}}}}') AS of_one_table,
       volumes_with('{"exists": {"table": "volumes", "filter": {"exists": {"table": "snapshots", "filter": {"exists": {"table": "backups", "where": {"snapshot_id": {"eq": {"outer": ["snapshots", "id"]}}, "volume_id": {"eq": {"outer": ["volumes", "id"]}}, "pool": {"eq": {"outer": ["target", "pool"]}}}}}}}}}') AS three_deep;
-- The group has a volume that has a snapshot: each of the two may be a member of the other's filter, and of a case.
CREATE TABLE groups (id integer PRIMARY KEY, state text);
INSERT INTO groups VALUES (7, 'idle'), (8, 'idle');
SELECT id, outcome, new_row ->> 'state' AS state FROM groups, volguard.conditional_update('groups', jsonb_build_object('id', id), '{"state": {"case": [{"when": {"exists":
    {"table": "volumes", "as": "v", "where": {"pool": {"eq": {"outer": "id"}}}, "filter": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": ["v", "id"]}}}}}}}, "then": "full"}], "else": "bare"}}') ORDER BY id;
CREATE TABLE target (id integer, volume_id integer);
INSERT INTO target VALUES (1, 1);
SELECT volumes_with('{"exists": {"table": "target", "as": "t", "where": {"volume_id": {"eq": {"outer": ["target", "id"]}}}, "filter": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": ["t", "volume_id"]}}}}}}}') AS with_a_table_called_target;
\set VERBOSITY default
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"any": [{"exists": {"table": "volumes", "as": "v", "filter": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}}}}}}]}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "as": "v", "filter": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": ["w", "id"]}}}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "as": "v", "filter": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": ["volumes", "id"]}}}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "filter": {"exists": {"table": "volumes", "where": {"id": {"gt": {"outer": ["volumes", "id"]}}}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "as": "v", "filter": {"exists": {"table": "snapshots", "as": "v", "filter": {"exists": {"table": "backups", "where": {"id": {"gt": {"outer": ["v", "id"]}}}}}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "as": "v", "where": {"id": {"eq": {"outer": ["v", "pool"]}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "target", "where": {"id": {"eq": {"outer": ["target", "id"]}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "as": "target"}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": "x"}', filter => '{"exists": {"table": "volumes", "as": "v", "filter": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": ["v", "size"]}}}}}}}'); :code
SELECT volguard.conditional_update('groups', '{"id": 7}', '{"state": {"outer": ["target", "id"]}}'); :code

-- Malformed filters: the error names the place.
\set VERBOSITY terse
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '[]'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"any": [{"all": []}, {"exists": {"table": 7}}]}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"any": [{"all": []}, {"exists": {"table": "nowhere"}}]}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "volumes_pkey"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "-"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "snapshots; DROP TABLE volumes"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "snapshots", "where": {"volume": 1}}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "size"}}}}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"where": {"pool": {"eq": {"outer": "id"}}}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": {"outer": "id"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', '{"pool": {"lt": null}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => (repeat('{"not": ', 40) || '{"all": []}' || repeat('}', 40))::jsonb); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => jsonb_build_object('any', (SELECT jsonb_agg('{"exists": {"table": "snapshots"}}'::jsonb) FROM generate_series(1, 33)))); :code
-- A wrong literal is reported before a row is searched, also if documents of this form are cached.
SELECT volguard.conditional_update('volumes', '{"id": 9}', '{"pool": "x"}', filter => '{"exists": {"table": "snapshots"}}'); :code
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 9}', '{"pool": "7"}', filter => '{"exists": {"table": "snapshots"}}');
SELECT volguard.conditional_update('volumes', '{"id": 9}', '{"pool": "x"}', filter => '{"exists": {"table": "snapshots"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": "x"}', '{"pool": "7"}', filter => '{"exists": {"table": "snapshots"}}'); :code
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 9}', '{"pool": "7"}', filter => '{"exists": {"table": "snapshots"}}');
\set VERBOSITY default
SELECT * FROM volumes ORDER BY id;

-- Indexes find the row and the rows of other tables: literals have
-- the type of the column, and columns are compared without a cast.
CREATE TABLE many (id uuid PRIMARY KEY, parent uuid, n integer NOT NULL);
INSERT INTO many SELECT md5(i::text)::uuid, md5((i / 2)::text)::uuid, i FROM generate_series(1, 5000) AS i;
CREATE INDEX ON many (parent);
ANALYZE many;
BEGIN;
SELECT seq_scan AS seq, idx_scan AS idx FROM pg_stat_xact_user_tables WHERE relid = 'many'::regclass \gset
SELECT outcome FROM volguard.conditional_update('many', jsonb_build_object('id', md5('9')), '{"n": 1}', '{"n": {"ge": 1}}',
    '{"not": {"exists": {"table": "many", "where": {"parent": {"eq": {"outer": "id"}}, "n": {"gt": 4900}}}}}');
SELECT outcome FROM volguard.conditional_update('many', jsonb_build_object('id', md5('9')), '{"n": 1}',
    filter => '{"exists": {"table": "many", "where": {"id": {"eq": {"outer": "parent"}}}}}');
SELECT seq_scan - :seq AS seq_scans, idx_scan - :idx AS idx_scans FROM pg_stat_xact_user_tables WHERE relid = 'many'::regclass;
COMMIT;

-- The sub-query runs with the caller's privileges and sees the caller's rows.
CREATE ROLE regress_cu_reader;
SELECT volguard.grant_usage('regress_cu_reader');
GRANT USAGE ON SCHEMA cu_filter TO regress_cu_reader;
GRANT SELECT, UPDATE ON volumes TO regress_cu_reader;
ALTER TABLE snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON snapshots TO regress_cu_reader USING (size < 5);
SET ROLE regress_cu_reader;
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "snapshots"}}'); :code
RESET ROLE;
GRANT SELECT ON snapshots TO regress_cu_reader;
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 7}', filter => '{"exists": {"table": "snapshots"}}');
SET ROLE regress_cu_reader;
SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 7}', filter => '{"exists": {"table": "snapshots"}}');
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter => '{"exists": {"table": "volguard.workers"}}'); :code
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"pool": 0}', filter_sql => 'EXISTS (SELECT FROM volguard.workers)'); :code
RESET ROLE;

-- A hostile search_path: operators in front of those of pg_catalog are never called.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE FUNCTION hostile.nt(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE FUNCTION hostile.nb(jsonb, jsonb) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE OPERATOR hostile.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.no);
CREATE OPERATOR hostile.< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.no);
CREATE OPERATOR hostile.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.nt);
CREATE OPERATOR hostile.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.nb);
CREATE FUNCTION hostile.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$;
CREATE TABLE hostile.integer (x text);
CREATE TABLE documents (id integer PRIMARY KEY, body jsonb, tags text[], title text);
INSERT INTO documents VALUES (1, '{"a": 1}', '{x}', 'title');
SET search_path = hostile, pg_catalog, cu_filter;
SELECT * FROM volguard.conditional_update('cu_filter.documents', '{"id": 1}', '{"title": {"concat": [{"column": "title"}, "!"]}}', '{"id": {"lt": 5, "eq": 1}, "body": {"a": 1}, "tags": ["x"]}',
    '{"exists": {"table": "cu_filter.documents", "where": {"id": {"eq": {"outer": "id"}, "lt": 7}, "title": {"not": "x"}}}}');
RESET search_path;

DROP SCHEMA cu_filter CASCADE;
DROP SCHEMA hostile CASCADE;
DROP OWNED BY regress_cu_reader;
DROP ROLE regress_cu_reader;

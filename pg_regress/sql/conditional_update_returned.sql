-- conditional_update, start_work and finish_work return columns and make the JSON of new_row themselves: it is what
-- to_jsonb(row) would be in the statement. AFTER triggers have the last word on it, and on the status of work.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_returned;
SET search_path = cu_returned;
SET timezone = 'UTC';

-- Every type; columns that are dropped, generated, added with a default; values that are stored apart and compressed.
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a integer, "b c" text);
CREATE DOMAIN small AS integer CHECK (VALUE < 1000);
CREATE DOMAIN pairs AS pair[];
CREATE TABLE things (gone text, id text PRIMARY KEY, status text, lost integer, n numeric, nan numeric, f4 float4, f8 float8, endless float8, i2 int2, i8 int8,
    truth boolean, raw bytea, span interval, at timestamptz, wall timestamp, day date, clock time, zoned timetz, forever timestamptz, u uuid, m mood, padded char(5), v varchar(9),
    one pair, empty pair, d small, ds small[], list text[], grid integer[], moods mood[], several pairs, doc jsonb, plain json, null_of_json jsonb, ip inet, net cidr, p point, r int4range, rs nummultirange,
    x xml, bits varbit, "odd "" name" text, "name" name, big text, packed text, nothing text, twice integer GENERATED ALWAYS AS (i2 * 2) STORED);
ALTER TABLE things DROP COLUMN gone, DROP COLUMN lost;
INSERT INTO things VALUES ('1', 'ok', 12345678901234567890.1230, 'NaN', 0.1, 0.1::float8 + 0.2, 'infinity', 7, 9223372036854775807, true, '\x00ff5c', '-1 year 2 mons -3 days 04:05:06.7',
    '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:05', '2026-01-02', '03:04:05.5', '03:04:05+02', 'infinity', '00000000-0000-0000-0000-000000000001', 'ok', 'ab', 'abc',
    ROW(1, 'x "y"'), ROW(NULL, NULL), 5, '{1,NULL}', '{a,NULL,"b,c",""}', '[2:3][1:2]={{1,2},{3,NULL}}', '{sad}', ARRAY[ROW(1, NULL)::pair], '{"b": [1.50, null], "a": {"not": null}}',
    '{"b":  1, "a": 1, "a": 2}', 'null', '10.0.0.1', '10.0.0.0/8', '(1,2)', '[1,5)', '{[1,2),[3,4)}', '<a>1</a>', B'101', 'it''s', 'n', repeat('b', 100), repeat('p', 100), NULL);
ALTER TABLE things ADD late integer DEFAULT 42, ADD gone_again text;
ALTER TABLE things DROP COLUMN gone_again;
ALTER TABLE things ALTER big SET STORAGE EXTERNAL;
UPDATE things SET big = repeat('b', 9000), packed = repeat('packed', 90000);
CREATE TABLE answers AS SELECT new_row FROM volguard.conditional_update('things', '{"id": "1"}', '{"i2": 8}');
SELECT new_row = to_jsonb(t) AS same, new_row::text = to_jsonb(t)::text AS same_text, (SELECT count(*) FROM jsonb_object_keys(new_row)) AS columns FROM answers, things AS t;
SELECT new_row - 'big' - 'packed' AS new_row FROM volguard.conditional_update('things', '{"id": "1"}', '{"i2": 9}');
-- The row as read is a valid expectation, in all of this; also the second time, when it is cached.
SELECT outcome, unmet FROM things AS t, volguard.conditional_update('things', '{"id": "1"}', '{"i2": 9}', to_jsonb(t)), generate_series(1, 2);

-- Tables that are more than one: partitions whose columns are in another order, children, views, a type's table.
CREATE TABLE parted (zone integer, id integer, doc jsonb, PRIMARY KEY (zone, id)) PARTITION BY LIST (zone);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 (doc jsonb, lost text, id integer NOT NULL, zone integer NOT NULL);
ALTER TABLE parted_2 DROP COLUMN lost;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES IN (2);
CREATE TABLE parent (lost integer, id integer PRIMARY KEY, status text);
CREATE TABLE child (more text) INHERITS (parent);
ALTER TABLE parent DROP COLUMN lost;
CREATE VIEW seen AS SELECT id AS number, status, upper(status) AS loud FROM parent;
CREATE TABLE typed OF pair;
INSERT INTO parted VALUES (1, 1, '{"a": 1}');
INSERT INTO child VALUES (1, 'ok', 'more');
INSERT INTO typed VALUES (1, 'x');
SELECT new_row FROM volguard.conditional_update('parted', '{"zone": 1, "id": 1}', '{"zone": 2}');
SELECT new_row FROM volguard.conditional_update('parted', '{"zone": 2, "id": 1}', '{"doc": null}');
SELECT new_row FROM volguard.conditional_update('parted_2', '{"zone": 2, "id": 1}', '{"doc": {"value": []}}');
SELECT new_row FROM volguard.conditional_update('parent', '{"id": 1}', '{"status": "x"}');
SELECT new_row FROM volguard.conditional_update('seen', '{"number": 1}', '{"status": "y"}');
SELECT new_row FROM volguard.conditional_update('typed', '{"a": 1}', '{"b c": "z"}');

-- The same with plans that don't know their parameters' values.
SET plan_cache_mode = force_generic_plan;
UPDATE answers SET new_row = u.new_row FROM volguard.conditional_update('things', '{"id": "1"}', '{"i2": 10}', '{"i2": [9, 11]}', '{"not": {"exists": {"table": "parent", "where": {"status": {"eq": {"outer": "status"}}}}}}') AS u;
SELECT new_row ->> 'i2' AS i2, new_row = to_jsonb(t) AS same FROM answers, things AS t;
RESET plan_cache_mode;

-- A float or an interval has another text under other settings, and extra_float_digits below 1 drops digits.
-- As read under the same settings, or under the default ones, a row is unchanged, but for what the reading has dropped.
CREATE TABLE measured (id integer PRIMARY KEY, f float8, fs float8[], span interval, spans interval[]);
INSERT INTO measured VALUES (1, 0.1::float8 + 0.2, ARRAY[0.1::float8 + 0.2], '-1 day -02:03:04', '{-1 day -02:03:04}');
CREATE FUNCTION unmet_as_read(style text, digits integer, later_style text, later_digits integer) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    as_read jsonb;
BEGIN
    PERFORM set_config('IntervalStyle', style, true), set_config('extra_float_digits', digits::text, true);
    EXECUTE 'SELECT to_jsonb(m) FROM cu_returned.measured AS m' INTO as_read;
    PERFORM set_config('IntervalStyle', later_style, true), set_config('extra_float_digits', later_digits::text, true);
    RETURN (volguard.conditional_update('cu_returned.measured', '{"id": 1}', '{"id": 1}', as_read)).unmet;
END $$;
SELECT style, unmet_as_read(style, 1, style, 1) AS unmet, unmet_as_read(style, 3, style, 3) AS more_digits, unmet_as_read(style, 0, style, 0) AS fewer_digits, unmet_as_read(style, 1, 'postgres', 1) AS in_another_style, unmet_as_read(style, 1, style, 0) AS with_fewer_digits
FROM unnest('{postgres,postgres_verbose,sql_standard,iso_8601}'::text[]) AS style;
RESET IntervalStyle;
RESET extra_float_digits;

-- AFTER triggers of a row, of a statement, a rule: new_row is the row as they leave it, found by the key that it has by then.
CREATE TABLE chained (id integer PRIMARY KEY, status text, steps integer DEFAULT 0, parent integer REFERENCES chained ON UPDATE CASCADE);
INSERT INTO chained VALUES (1, 'free'), (2, 'free');
CREATE FUNCTION go_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_returned.chained SET steps = steps + 1, status = status || '!' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE FUNCTION go_on_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_returned.chained SET steps = steps + 10 WHERE status = 'all'; RETURN NULL; END $$;
CREATE TRIGGER go_on AFTER UPDATE ON chained FOR EACH ROW WHEN (NEW.steps = OLD.steps AND NEW.status <> 'all') EXECUTE FUNCTION go_on();
CREATE TRIGGER go_on_all AFTER UPDATE ON chained FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION go_on_all();
SELECT outcome, new_row FROM generate_series(1, 2), volguard.conditional_update('chained', '{"id": 1}', '{"status": "busy"}');
SELECT outcome, new_row FROM volguard.conditional_update('chained', '{"id": 1}', '{"status": "all"}');
SELECT outcome, new_row FROM generate_series(1, 2) AS n, volguard.conditional_update('chained', jsonb_build_object('id', CASE n WHEN 1 THEN 1 ELSE 3 END), jsonb_build_object('id', n + 2, 'status', 'moved'));
-- So the next expectation of that row is right.
SELECT two.outcome, two.unmet FROM volguard.conditional_update('chained', '{"id": 2}', '{"status": "first"}') AS one, volguard.conditional_update('chained', '{"id": 2}', '{"status": "second"}', one.new_row) AS two;
-- The row is removed, or gets another key, behind the statement: new_row is what the statement made of it.
CREATE OR REPLACE FUNCTION go_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM cu_returned.chained WHERE id = NEW.id; RETURN NULL; END $$;
SELECT outcome, new_row ->> 'status' AS status FROM volguard.conditional_update('chained', '{"id": 2}', '{"status": "last"}');
SELECT count(*) FROM chained WHERE id = 2;
-- A foreign key of the table to itself.
DROP TRIGGER go_on ON chained;
DROP TRIGGER go_on_all ON chained;
UPDATE chained SET parent = id;
SELECT new_row FROM volguard.conditional_update('chained', '{"id": 4}', '{"id": 5}');

-- Work: its status is the row's after all triggers, and a crash rule repairs it by that.
CREATE TABLE volumes (id text PRIMARY KEY, status text, previous text);
INSERT INTO volumes VALUES ('v', 'free'), ('w', 'free');
SELECT volguard.track_resource('returned', 'volumes');
SELECT volguard.on_crash('returned', 'busy', '{"status": "wrong"}'), volguard.on_crash('returned', 'busy-2', '{"status": "repaired"}');
CREATE FUNCTION rename_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_returned.volumes SET status = NEW.status || '-2', previous = OLD.status WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER rename_status AFTER UPDATE ON volumes FOR EACH ROW WHEN (NEW.status NOT LIKE '%-2' AND pg_trigger_depth() = 0) EXECUTE FUNCTION rename_status();
SELECT volguard.register_service('node-1', 'work', 'returned') AS one \gset
SELECT token, outcome, new_row FROM volguard.start_work(:one, 'returned', 'v', '{"status": "busy"}', request_id => '00000000-0000-0000-0000-000000000001') \gset
SELECT :'outcome', :'new_row'::jsonb = to_jsonb(v) AS same, v.status, w.status AS work FROM volumes AS v, volguard.workers AS w WHERE v.id = 'v' AND w.token = :token;
SELECT new_row FROM volguard.start_work(:one, 'returned', 'v', '{"status": "busy"}', request_id => '00000000-0000-0000-0000-000000000001');
SELECT outcome, new_row FROM volguard.finish_work(:token, '{"status": "done"}');
SELECT outcome FROM volguard.start_work(:one, 'returned', 'v', '{"status": "busy"}');
SELECT outcome FROM volguard.start_work(:one, 'returned', 'w', '{"status": "free-2"}');
SELECT resource_id, status FROM volguard.workers WHERE resource_type = 'returned' ORDER BY resource_id;
SELECT volguard.register_service('node-1', 'work', 'returned') AS two \gset
SELECT state, resources_cleaned FROM volguard.cleanup(:one);
SELECT * FROM volumes ORDER BY id;

SELECT volguard.deregister_service(:two);
DELETE FROM volguard.workers WHERE cluster = 'returned';
DELETE FROM volguard.services WHERE cluster = 'returned';
DELETE FROM volguard.clusters WHERE name = 'returned';
DELETE FROM volguard.resources WHERE resource_type = 'returned';
DROP SCHEMA cu_returned CASCADE;

-- conditional_update: any type. The type's own input function reads literals, and its own equality compares them.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_types;
SET search_path = cu_types;
-- A case-insensitive type of an extension, in a schema that is not on the search_path while its columns are compared.
CREATE SCHEMA cu_ext;
CREATE EXTENSION citext SCHEMA cu_ext;
CREATE TYPE state AS ENUM ('available', 'in-use', 'error');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN short_name AS varchar(5);
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

CREATE TABLE cases (n serial, type text, stored jsonb, other jsonb);
INSERT INTO cases (type, stored, other) VALUES
    ('uuid', '"ec56a2a9-77f5-4c1c-b0ca-7e8a1d2f3b40"', '"00000000-0000-0000-0000-000000000001"'),
    ('text', '"it''s; -- \"quoted\" \\ $1"', '""'),
    ('varchar(5)', '"abcde"', '"abcd"'),
    ('char(5)', '"ab"', '"a"'),
    ('name', '"pg_class"', '"pg_proc"'),
    ('"char"', '"x"', '"y"'),
    ('cu_ext.citext', '"MiXed"', '"other"'),
    ('text COLLATE no_case', '"MiXed"', '"other"'),
    ('numeric', '12345678901234567890.123456789', '0'),
    ('numeric(10,2)', '1.50', '1.51'),
    ('smallint', '-32768', '32767'),
    ('integer', '2147483647', '-2147483648'),
    ('bigint', '9223372036854775807', '-9223372036854775808'),
    ('real', '1.1', '1.5'),
    ('double precision', '0.1', '"NaN"'),
    ('boolean', 'true', 'false'),
    ('timestamptz', '"2026-11-22T11:48:00.123456+01:00"', '"2026-11-22T11:48:00+00:00"'),
    ('timestamp(0)', '"2026-11-22T11:48:00"', '"infinity"'),
    ('date', '"2026-02-28"', '"2026-03-01"'),
    ('time', '"23:59:59"', '"00:00:00"'),
    ('interval', '"1 day 02:00:00"', '"26 hours 1 second"'),
    ('inet', '"10.0.0.1/8"', '"::1"'),
    ('cidr', '"10.0.0.0/8"', '"10.0.0.0/9"'),
    ('macaddr', '"08:00:2b:01:02:03"', '"08:00:2b:01:02:04"'),
    ('bytea', '"\\xdeadbeef00"', '"\\x"'),
    ('bit(4)', '"1010"', '"1011"'),
    ('state', '"available"', '"in-use"'),
    ('positive', '7', '8'),
    ('short_name', '"abcde"', '"abcd"'),
    ('text[]', '"{a,\"b c\",NULL}"', '"{}"'),
    ('integer[]', '"{1,2}"', '"{2,1}"'),
    ('int4range', '"[1,5)"', '"empty"'),
    ('jsonb', '"text"', '7'),
    ('regclass', '"pg_class"', '"pg_proc"'),
    ('oid', '4294967295', '0'),
    ('tsvector', '"''fat'' ''rat''"', '"''fat''"'),
    ('pg_lsn', '"16/B374D848"', '"0/0"'),
    ('xid8', '"18446744073709551615"', '"1"'),
    ('money', '"$1.50"', '"$2.00"');
SELECT 'CREATE TABLE anything (id integer PRIMARY KEY, ' || string_agg(format('c%s %s', n, type), ', ' ORDER BY n) || ')' FROM cases \gexec
INSERT INTO anything VALUES (1);

-- Set from NULL, found by its own JSON (an array by its text) and as a key; not found by another value or NULL.
SELECT type, "set".outcome AS "set", "set".new_row -> c AS reads_as, same.outcome AS same, key.outcome AS key,
       other.unmet = ARRAY[c] AS other, none.unmet = ARRAY[c] AS "null", differs.outcome AS differs
FROM cases, LATERAL (SELECT 'c' || n AS c) AS "column",
    volguard.conditional_update('anything', '{"id": 1}', jsonb_build_object(c, stored), jsonb_build_object(c, NULL)) AS "set",
    volguard.conditional_update('anything', '{"id": 1}', '{"id": 1}', filter => jsonb_build_object('where', jsonb_build_object(c,
        jsonb_build_array(NULL, other, CASE WHEN type LIKE '%[]' THEN stored ELSE "set".new_row -> c END)))) AS same,
    volguard.conditional_update('anything', jsonb_build_object(c, stored), '{"id": 1}') AS key,
    volguard.conditional_update('anything', '{"id": 1}', '{"id": 2}', jsonb_build_object(c, other)) AS other,
    volguard.conditional_update('anything', '{"id": 1}', '{"id": 2}', jsonb_build_object(c, NULL)) AS none,
    volguard.conditional_update('anything', '{"id": 1}', '{"id": 1}', filter => jsonb_build_object('where', jsonb_build_object(c,
        jsonb_build_object('not', other)))) AS differs
ORDER BY n;
-- The row as read can be passed as expected, whatever its types; and each column is compared.
SELECT outcome, unmet FROM volguard.conditional_update('anything', '{"id": 1}', '{"id": 1}', (SELECT to_jsonb(anything) FROM anything));
SELECT count(*) AS columns, count(*) FILTER (WHERE unmet = ARRAY[c]) AS noticed
FROM cases, LATERAL (SELECT 'c' || n AS c) AS "column", (SELECT to_jsonb(anything) AS as_read FROM anything) AS new_row,
    volguard.conditional_update('anything', '{"id": 1}', '{"id": 2}', jsonb_set(as_read, ARRAY[c], other));

-- Equality is that of the type.
CREATE TABLE named (id cu_ext.citext PRIMARY KEY, code char(5), label text COLLATE no_case, span interval, amount numeric);
INSERT INTO named VALUES ('Vol-A', 'ab', 'Label', '1 day', 1.0);
SELECT outcome FROM volguard.conditional_update('named', '{"id": "VOL-a"}', '{"amount": 1.00}',
    '{"code": "ab   ", "label": "LABEL", "span": "24:00:00", "amount": 1.000}');
-- With a collation that isn't deterministic, a unique index may hold values that the column considers equal.
CREATE TABLE labels (label text COLLATE no_case, n integer);
CREATE UNIQUE INDEX ON labels (label COLLATE "C");
INSERT INTO labels VALUES ('a', 1), ('A', 2);
SELECT outcome FROM volguard.conditional_update('labels', '{"label": "a"}', '{"n": 3}', '{"n": 2}'); :code

-- So may an index with another operator class than the default one.
CREATE TABLE tags (tag cu_ext.citext, n integer);
CREATE UNIQUE INDEX ON tags (tag text_ops);
INSERT INTO tags VALUES ('a', 1), ('A', 2);
SELECT outcome FROM volguard.conditional_update('tags', '{"tag": "a"}', '{"n": 3}', '{"n": 2}'); :code

-- A column without equality can be compared with NULL, and can be set.
CREATE TABLE opaque (id integer PRIMARY KEY, j json, p point, x xml, pair named);
INSERT INTO opaque VALUES (1);
SELECT new_row FROM volguard.conditional_update('opaque', '{"id": 1}', '{"j": "text", "p": "(1,2)", "x": "<a/>"}', '{"j": null, "p": {"not": []}, "x": [null]}');
SELECT new_row FROM volguard.conditional_update('opaque', '{"id": 1}', '{"j": false}', '{"j": "text", "p": "(1,2)", "x": "<a/>"}', '{"where": {"j": {"not": null}}}');
SELECT unmet FROM volguard.conditional_update('opaque', '{"id": 1}', '{"j": false}', '{"j": true, "p": "(1,3)", "x": "<b/>"}');
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 2}', filter => '{"where": {"p": "(1,2)"}}'); :code
-- Postgres 18 names json without its schema.
\set VERBOSITY sqlstate
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 2}', filter => '{"where": {"j": "text"}}');
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 2}', filter => '{"where": {"j": {"lt": {"value": {}}}}}');
\set VERBOSITY default
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 2}', '{"p": {"not": [null, "(1,2)"]}}'); :code
SELECT outcome FROM volguard.conditional_update('opaque', '{"p": "(1,2)"}', '{"id": 2}'); :code
-- A composite value whose fields are NULL isn't NULL.
UPDATE opaque SET pair = ROW(NULL, NULL, NULL, NULL, NULL);
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 1}', '{"pair": null}');
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 1}', '{"pair": "(,,,,)"}');
SELECT outcome FROM volguard.conditional_update('opaque', '{"id": 1}', '{"id": 1}', (SELECT to_jsonb(opaque) FROM opaque));

-- Generated and identity columns can be used in conditions.
CREATE TABLE made (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer, twice integer GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO made (a) VALUES (5);
SELECT new_row FROM volguard.conditional_update('made', '{"id": 1, "twice": 10}', '{"a": {"add": [{"column": "twice"}, 1]}}', '{"twice": {"not": 11}}');
SELECT outcome FROM volguard.conditional_update('made', '{"id": 1}', '{"twice": 4}'); :code
SELECT outcome FROM volguard.conditional_update('made', '{"id": 1}', '{"id": 4}'); :code

\set VERBOSITY terse
-- An error of the type is passed on, with the column named, and nothing changes.
CREATE TABLE strict (id integer PRIMARY KEY, v varchar(5), c char(2), b bit(2), n numeric(4,2), s smallint, u uuid, t timestamptz, e state, d positive,
    name short_name, flag boolean NOT NULL, bytes bytea, j jsonb, a integer[]);
INSERT INTO strict (id, flag) VALUES (1, true);
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"v": "abcdef"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"c": "abc"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"b": "111"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"n": 100}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": 32768}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": 1.5}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"u": "not-a-uuid"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"t": "2026-13-01"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"t": "yesteryear"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"e": "gone"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"d": 0}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"name": "abcdef"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"flag": "perhaps"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"flag": null}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"bytes": "\\xz"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"a": "{1"}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"id": true}'); :code
SELECT volguard.conditional_update('strict', '{"id": "one"}', '{"s": 1}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": 1}', '{"u": ["00000000-0000-0000-0000-000000000001", "x"]}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": 1}', '{"e": {"not": ["error", "gone"]}}'); :code
-- A condition may have a value that the column can't hold: it just finds no row.
SELECT outcome, unmet FROM volguard.conditional_update('strict', '{"id": 1}', '{"s": 1}', '{"v": "abcdef", "d": 0, "n": 100, "name": "abcdef"}');
-- Arithmetic and its errors are those of Postgres.
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": {"div": [1, 0]}}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": {"add": [32767, 1]}}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"n": {"mul": [99.99, 10]}}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"v": {"add": [{"column": "v"}, 1]}}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"u": {"column": "t"}}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"t": {"add": [{"column": "t"}, "five minutes"]}}'); :code
SELECT volguard.conditional_update('strict', '{"id": 1}', '{"s": {"add": [{"column": "s"}, "5"]}}'); :code
SELECT to_jsonb(strict) - 'id' - 'flag' = (SELECT jsonb_object_agg(key, NULL) FROM jsonb_object_keys(to_jsonb(strict) - 'id' - 'flag') AS key) AS unchanged FROM strict;

DROP SCHEMA cu_types CASCADE;
DROP SCHEMA cu_ext CASCADE;

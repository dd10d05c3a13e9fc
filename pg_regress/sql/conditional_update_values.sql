-- conditional_update: values: joined texts, the clock, cases, lists and objects; SQL of the caller.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_values;
SET search_path = cu_values;
CREATE TYPE place AS (room text, shelf integer, tags text[]);
CREATE DOMAIN label AS text CHECK (VALUE <> '');
CREATE TABLE things (id integer PRIMARY KEY, status text, previous text, size integer, used integer, at timestamptz, wall timestamp, day date,
    short varchar(6), n numeric(6,2), flag boolean, tags text[], grid integer[], parts place[], spot place, meta jsonb, plain json, metas jsonb[], names label[]);
INSERT INTO things (id, status, size, used, flag) VALUES (1, 'in-use', 10, 3, true);

-- Joined: each part becomes text; NULL in, NULL out.
SELECT new_row -> 'status' AS status, new_row -> 'previous' AS previous FROM volguard.conditional_update('things', '{"id": 1}',
    '{"status": {"concat": ["error_", {"column": "status"}]}, "previous": {"concat": [{"column": "size"}, "/", 2.50, " ", {"column": "flag"}, " ", {"add": [{"column": "used"}, 1]}]}}');
SELECT new_row -> 'previous' AS previous FROM volguard.conditional_update('things', '{"id": 1}', '{"previous": {"concat": ["a", {"column": "short"}]}}');
SELECT volguard.conditional_update('things', '{"id": 1}', '{"short": {"concat": ["much ", "too long"]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"size": {"concat": [1, 2]}}'); :code

-- The clock is that of the database, one time for the whole call, in any type.
SELECT clock_timestamp() AS before \gset
SELECT outcome FROM volguard.conditional_update('things', '{"id": 1}', '{"at": {"now": true}, "wall": {"now": true}, "day": {"now": true}, "previous": {"concat": [{"now": true}]}}', filter => '{"not": {"where": {"at": {"ge": {"now": true}}}}}');
SELECT at >= :'before' AND at <= clock_timestamp() AS now, at::timestamp = wall AND at::date = day AND previous = at::text AS the_same FROM things;
SELECT outcome FROM volguard.conditional_update('things', '{"id": 1}', '{"at": {"add": [{"now": true}, "1 hour"]}}', '{"at": {"le": {"now": true}}}');
SELECT at > clock_timestamp() + '59 minutes' AS later FROM things;

-- Cases: the first one that holds.
SELECT size, answer.new_row -> 'status' AS status, answer.new_row -> 'used' AS used
FROM unnest(ARRAY[NULL, 3, 30, 300]) AS size, volguard.conditional_update('things', '{"id": 1}', jsonb_build_object('size', size)) AS first,
    volguard.conditional_update('things', jsonb_build_object('id', first.new_row -> 'id'), '{"status": {"case": [{"when": {"where": {"size": {"lt": 10}}}, "then": "small"},
        {"when": {"where": {"size": {"lt": 100}}}, "then": {"concat": ["medium ", {"column": "size"}]}}, {"when": {"where": {"size": null}}, "then": null}], "else": {"column": "previous"}},
        "previous": "large", "used": {"case": [{"when": {"not": {"where": {"size": {"not": null}}}}, "then": 0}]}}') AS answer;
SELECT new_row -> 'n' AS n FROM volguard.conditional_update('things', '{"id": 1}', '{"n": {"case": [{"when": {"all": []}, "then": {"add": [{"case": [{"when": {"any": []}, "then": 7}], "else": {"column": "size"}}, 0.25]}}]}}');
SELECT new_row -> 'n' AS n FROM volguard.conditional_update('things', '{"id": 1}', '{"n": {"case": [{"when": {"any": []}, "then": null}]}}');
SELECT volguard.conditional_update('things', '{"id": 1}', '{"short": {"case": [{"when": {"all": []}, "then": "too long for it"}]}}'); :code

-- Lists and objects.
SELECT new_row -> 'tags' AS tags, new_row -> 'grid' AS grid, new_row -> 'names' AS names FROM volguard.conditional_update('things', '{"id": 1}',
    '{"tags": {"value": ["a", "b \"c\" \\d", null, "NULL", "", "{x}", 7, true]}, "grid": {"value": [[1, 2], [3, null]]}, "names": {"value": ["n"]}}');
SELECT new_row -> 'spot' AS spot, new_row -> 'parts' AS parts FROM volguard.conditional_update('things', '{"id": 1}',
    '{"spot": {"value": {"room": "a, \"b\"", "tags": ["x", "y,z"]}}, "parts": {"value": [{"shelf": 1, "room": "(r)"}, null, {}]}}');
SELECT new_row -> 'meta' AS meta, new_row -> 'plain' AS plain, new_row -> 'metas' AS metas FROM volguard.conditional_update('things', '{"id": 1}',
    '{"meta": {"value": {"column": "status", "a": [1, {"b": null}]}}, "plain": {"value": ["x"]}, "metas": {"value": [{"a": 1}, [2], "t", null]}}');
SELECT meta IS NULL AS sql_null, meta = 'null' AS json_null, outcome FROM volguard.conditional_update('things', '{"id": 1}', '{"meta": {"value": null}, "tags": {"value": []}, "grid": {"value": null}}'), LATERAL (SELECT (new_row -> 'meta') AS meta) AS m;
SELECT meta IS NULL AS sql_null, meta = 'null' AS json_null, tags, grid IS NULL AS no_grid FROM things;
\set VERBOSITY terse
SELECT volguard.conditional_update('things', '{"id": 1}', '{"size": {"value": [1]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"status": {"value": {"a": 1}}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"grid": {"value": [1, "x"]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"grid": {"value": [[1], 2]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"grid": {"value": [1, {"a": 2}]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"names": {"value": [""]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"spot": {"value": {"root": "a"}}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"parts": {"value": [{"shelf": "top"}]}}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"tags": ["a"]}'); :code
\set VERBOSITY default

-- The row as read can be passed as expected, whatever is stored in it: no part of it is read as a condition.
SELECT outcome FROM volguard.conditional_update('things', '{"id": 1}', '{"meta": {"value": {"not": null}}, "plain": {"value": {"value": 1}}, "tags": {"value": ["a", null]}, "metas": {"value": [{"ne": 1}]}}');
SELECT to_jsonb(things) AS as_read FROM things \gset
SELECT outcome, unmet FROM volguard.conditional_update('things', '{"id": 1}', '{"used": 1}', :'as_read');
UPDATE things SET meta = '{"any": "thing"}', plain = '1', tags = '{a}', metas = '{}', spot.shelf = 5, used = NULL;
SELECT outcome, unmet FROM volguard.conditional_update('things', '{"id": 1}', '{"used": 2}', :'as_read');
SELECT outcome FROM volguard.conditional_update('things', '{"id": 1}', '{"used": 2}', '{"tags": ["a"], "meta": {"any": "thing"}, "spot": {"room": "a, \"b\"", "shelf": 5, "tags": ["x", "y,z"]}}');
-- A condition on such a column stands in a filter.
SELECT c AS "where", (volguard.conditional_update('things', '{"id": 1}', '{"used": 2}', filter => jsonb_build_object('where', c))).outcome
FROM unnest(ARRAY['{"meta": {"not": null}}', '{"meta": {"value": {"any": "thing"}}}', '{"meta": [null, {"value": {"any": "thing"}}]}', '{"meta": {"ne": {"value": {"any": "thing"}}}}',
    '{"tags": {"value": ["a"]}}', '{"tags": {"not": [{"value": ["a"]}, {"value": []}]}}', '{"tags": [{"value": ["b"]}, {"value": ["a"]}]}', '{"spot": {"ne": null}}',
    '{"grid": null}']::jsonb[]) WITH ORDINALITY AS t (c, n)
ORDER BY n;
-- For an array, expected accepts operators too: no array is an object.
SELECT outcome FROM volguard.conditional_update('things', '{"id": 1}', '{"used": 2}', '{"tags": {"not": {"value": ["b"]}}}');

-- SQL of the caller: the row is called target, and its columns have their names; it sees the old row, as all values do.
UPDATE things SET size = 10, used = 3, status = 'in-use';
SELECT new_row -> 'size' AS size, new_row -> 'used' AS used, new_row -> 'status' AS status FROM volguard.conditional_update('things', '{"id": 1}', '{"size": {"column": "used"}}',
    changes_sql => '{"used": "target.size * 2 -- twice", "status": "upper(status) || (SELECT count(*) FROM things)"}', filter_sql => 'size > used AND EXISTS (SELECT FROM things AS t WHERE t.id = target.id)');
SELECT outcome, unmet FROM volguard.conditional_update('things', '{"id": 1}', '{"used": 2}', '{"used": 5}', filter_sql => 'NULL');
SELECT outcome, unmet FROM volguard.conditional_update('things', '{"id": 1}', '{"used": 2}', filter_sql => 'used = 5');
SELECT outcome FROM volguard.conditional_update('things', '{"id": 1}', '{}', changes_sql => '{"used": "$$a)$$::text = ''b'' OR NULL"}'); :code
-- It stays one expression: it can't close our bracket, start another statement, add a clause or use our parameters.
\set VERBOSITY terse
CREATE TABLE attacks (n serial, sql text);
INSERT INTO attacks (sql) VALUES ('true) OR (true'), ('true) -- '), ('true) /*'), ('true /*'), ('true; DROP TABLE cu_values.things'), ('true); DROP TABLE cu_values.things; --'),
    ('true) RETURNING (true'), ('true FROM cu_values.things'), ('true WHERE true'), ('true UNION SELECT true'), ('true, true'), ('true AS x'), ('DISTINCT true'), ('ALL true'), ('*'), (''),
    ('  '), ('-- '), ('true ORDER BY 1'), ('true LIMIT 1'), ('true FOR UPDATE'), ('true INTO TEMP t'), ('''open'), ('$$open'), ('"open'), ('(true'), ('true)'), ('SELECT true'), ('$1 = $1'), ('true = $1'), ('size'),
    ('nosuch'), ('other.size = 1'), ('count(*) > 0'), ('ctid IS NULL) OR (true'), (E'true\n) OR (true'), ('U&"\0029" = 1'), (E'E''\\'' OR true');
CREATE FUNCTION attempt(filter_sql text, changes_sql jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (volguard.conditional_update('cu_values.things', '{"id": 2}', '{"used": 99}', filter_sql => filter_sql, changes_sql => changes_sql)).outcome;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || split_part(SQLERRM, chr(10), 1);
END $$;
INSERT INTO things (id, used) VALUES (2, 0);
SELECT n, attempt(sql), left(attempt(NULL, jsonb_build_object('size', sql)), 60) AS in_values FROM attacks ORDER BY n;
SELECT id, used, size FROM things ORDER BY id;
SELECT volguard.conditional_update('things', '{"id": 1}', '{"used": 1}', changes_sql => '{"used": "2"}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"used": 1}', changes_sql => '{"size": 2}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"used": 1}', changes_sql => '{"sise": "2"}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"used": 1}', changes_sql => '{"size\" = 1, \"used": "2"}'); :code
SELECT volguard.conditional_update('things', '{"id": 1}', '{"used": 1}', changes_sql => '[]'); :code
-- The caller's search_path applies to the caller's SQL.
CREATE FUNCTION mine(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 + 100';
SELECT new_row -> 'used' AS used FROM volguard.conditional_update('things', '{"id": 2}', '{}', changes_sql => '{"used": "mine(1)"}');
SET search_path = pg_catalog;
SELECT volguard.conditional_update('cu_values.things', '{"id": 2}', '{}', changes_sql => '{"used": "mine(1)"}'); :code
RESET search_path;

DROP SCHEMA cu_values CASCADE;

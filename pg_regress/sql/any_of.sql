-- any_of, none_of: NULL-safe IN and NOT IN for hand-written WHERE clauses.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA lists;
SET search_path = lists;
CREATE TABLE volumes (id integer PRIMARY KEY, status varchar(20));
INSERT INTO volumes SELECT n, (ARRAY['available', 'in-use', 'error', NULL])[n % 4 + 1] FROM generate_series(1, 1000) AS n;
CREATE INDEX by_status ON volumes (status);
ANALYZE volumes;

-- The result is true or false, never NULL.
SELECT coalesce(value, 'NULL') AS value, list, volguard.any_of(value, VARIADIC list), volguard.none_of(value, VARIADIC list)
FROM unnest(ARRAY['a', 'b', NULL]) AS value,
     (VALUES (ARRAY['a']), (ARRAY['a', NULL]), (ARRAY[NULL]), ('{}'), (NULL)) AS lists (list)
ORDER BY value, list::text;
SELECT volguard.any_of(1, 1, 2), volguard.any_of(1.0, 1.00, NULL), volguard.any_of(NULL::integer, 1), volguard.any_of(NULL::integer, 1, NULL);
SELECT volguard.none_of('NaN'::float8, 1.5::float8), volguard.any_of('NaN'::float8, 'NaN'), volguard.any_of('ab'::char(4), 'ab'), volguard.any_of('{}'::jsonb, '{}');
-- A composite value whose fields are NULL isn't NULL.
CREATE TYPE pair AS (a integer, b integer);
SELECT volguard.any_of(ROW(NULL, NULL)::pair, NULL), volguard.any_of(ROW(NULL, NULL)::pair, ROW(NULL, NULL)::pair), volguard.none_of(ROW(NULL, 1)::pair, NULL);
SELECT count(*) FROM volumes WHERE volguard.any_of(status, 'available', 'error', NULL);
SELECT count(*) FROM volumes WHERE volguard.none_of(status, 'available', 'error', NULL);

-- Inlined: the plan contains no call, and an index on the column is used.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM volumes WHERE volguard.any_of(status, 'available', 'error');
EXPLAIN (COSTS OFF) SELECT * FROM volumes WHERE volguard.any_of(status, 'available', NULL);
EXPLAIN (COSTS OFF) SELECT * FROM volumes WHERE volguard.any_of(status, VARIADIC ARRAY[NULL]::varchar[]);
EXPLAIN (COSTS OFF) SELECT * FROM volumes WHERE volguard.any_of(status, VARIADIC '{}');
EXPLAIN (COSTS OFF) SELECT * FROM volumes WHERE id = 7 AND volguard.none_of(status, 'deleting');
EXPLAIN (COSTS OFF) SELECT * FROM volumes WHERE id = 7 AND volguard.none_of(status, 'deleting', NULL);
-- A list that is known only when the statement runs.
PREPARE by_list (varchar[]) AS SELECT count(*) FROM volumes WHERE volguard.any_of(status, VARIADIC $1);
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE by_list ('{available,NULL}');
EXECUTE by_list ('{available,NULL}');
EXECUTE by_list ('{}');
EXECUTE by_list (NULL);
RESET plan_cache_mode;
RESET enable_seqscan;

-- The reader of a view or the user under a policy can't change what equal means in it.
CREATE VIEW safe AS SELECT id FROM volumes WHERE volguard.any_of(status, 'deleted');
CREATE SCHEMA hostile_lists;
CREATE FUNCTION hostile_lists.yes(varchar, varchar) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR hostile_lists.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = hostile_lists.yes);
CREATE FUNCTION hostile_lists.array_remove(varchar[], varchar) RETURNS varchar[] IMMUTABLE LANGUAGE sql AS $$ SELECT '{available,in-use}'::varchar[] $$;
SET search_path = hostile_lists, pg_catalog;
SELECT count(*) FROM lists.safe;
SELECT count(*) FROM lists.volumes WHERE volguard.none_of(status, 'available');
SET search_path = lists;

-- A list of lists is refused.
SELECT volguard.any_of(1, VARIADIC '{{1},{2}}'::integer[]); :code
-- A type without equality is refused.
\set VERBOSITY terse
SELECT volguard.any_of('(1,2)'::point, '(1,2)'); :code
\set VERBOSITY default

-- A role without EXECUTE can't call them.
CREATE ROLE regress_any_of;
GRANT USAGE ON SCHEMA lists TO regress_any_of;
SET ROLE regress_any_of;
\set VERBOSITY sqlstate
SELECT volguard.any_of(1, 1);
SELECT volguard.none_of(1, 1);
\set VERBOSITY default
RESET ROLE;
SELECT volguard.grant_usage('regress_any_of');
SET ROLE regress_any_of;
SELECT volguard.any_of(1, 1), volguard.none_of(1, 1);
RESET ROLE;
DROP OWNED BY regress_any_of;
DROP ROLE regress_any_of;
DROP SCHEMA lists CASCADE;
DROP SCHEMA hostile_lists CASCADE;

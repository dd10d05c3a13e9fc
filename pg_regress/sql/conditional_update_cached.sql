-- conditional_update: calls of one form share a cached update, and each must use its own values: not those of an
-- earlier call, nor those of another member of the same call.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_cached;
SET search_path = cu_cached;
CREATE TABLE disks (
    id integer PRIMARY KEY,
    name text,
    code varchar(8),
    size numeric,
    busy boolean,
    meta jsonb,
    tags text[],
    seen timestamptz
);
CREATE TABLE parts (disk_id integer);
INSERT INTO disks SELECT n, 'old-' || n, 'c' || n, n, n % 2 = 0, to_jsonb('m' || n), ARRAY['t' || n], '2026-01-01 00:00+00'::timestamptz + n * interval '1 day'
FROM generate_series(1, 40) AS n;

-- How many cached updates the session has. Each call below prints it, so that it shows which calls share one.
CREATE FUNCTION cached() RETURNS bigint LANGUAGE sql
RETURN (SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'volguard cached update');
-- Many calls in one statement: those of one form must share one.
CREATE FUNCTION of_form(form text, n integer) RETURNS TABLE (key jsonb, changes jsonb, expected jsonb, filter jsonb) LANGUAGE sql AS $$
SELECT jsonb_build_object('id', n),
       CASE form
           WHEN 'text' THEN jsonb_build_object('name', 'new-' || n, 'code', 'd' || n)
           WHEN 'number' THEN jsonb_build_object('size', n * 1.50)
           WHEN 'boolean' THEN jsonb_build_object('busy', n % 3 = 0)
           WHEN 'json' THEN jsonb_build_object('meta', 'new-' || n)
           WHEN 'time' THEN jsonb_build_object('seen', '2027-01-01 00:00+00'::timestamptz + n * interval '1 hour')
           ELSE jsonb_build_object('name', form || '-' || n)
       END,
       CASE form
           WHEN 'text' THEN jsonb_build_object('name', 'old-' || n, 'code', 'c' || n)
           WHEN 'number' THEN jsonb_build_object('size', n)
           WHEN 'boolean' THEN jsonb_build_object('busy', n % 2 = 0)
           WHEN 'json' THEN jsonb_build_object('meta', 'm' || n)
           WHEN 'time' THEN jsonb_build_object('seen', '2026-01-01 00:00+00'::timestamptz + n * interval '1 day')
           ELSE jsonb_build_object('size', n * 1.50)
       END,
       CASE form WHEN 'locked' THEN '{"not": {"exists": {"table": "cu_cached.parts", "where": {"disk_id": {"eq": {"outer": "id"}}}}}}'::jsonb END
$$;
SELECT form, count(*) AS calls, sum(updated) AS updated,
       bool_and(new_row @> jsonb_build_object('id', n)) AS own_key, bool_and(new_row @> (changes - 'seen')) AS own_changes,
       bool_and(form <> 'time' OR (new_row ->> 'seen')::timestamptz = (changes ->> 'seen')::timestamptz) AS own_time
FROM unnest(ARRAY['text', 'number', 'boolean', 'json', 'time', 'locked']) WITH ORDINALITY AS forms (form, at), generate_series(1, 40) AS n,
     of_form(form, n), volguard.conditional_update('disks', key, changes, expected, filter)
GROUP BY form, at ORDER BY at;
SELECT cached();
-- Nothing else changed: each row has what its own calls wrote.
SELECT count(*) FROM disks
WHERE (name, code, size, busy, meta, tags, seen) IS NOT DISTINCT FROM
      ('locked-' || id, 'd' || id, id * 1.50, id % 3 = 0, to_jsonb('new-' || id), ARRAY['t' || id], '2027-01-01 00:00+00'::timestamptz + id * interval '1 hour');
-- The same forms again, when no condition holds any more: each call uses its own values.
SELECT form, count(*) AS calls, sum(updated) AS updated, array_agg(DISTINCT unmet) AS unmet
FROM unnest(ARRAY['text', 'number', 'json', 'time']) AS form, generate_series(1, 40) AS n, of_form(form, n),
     volguard.conditional_update('disks', key, changes, expected, filter)
GROUP BY form ORDER BY form;
SELECT cached();

-- The same scalar in several places of the first call is not the same in the next.
CREATE TABLE pairs (id integer PRIMARY KEY, a integer, b integer, c text, d text);
INSERT INTO pairs VALUES (1, 1, 1, 'x', 'x'), (2, 3, 4, 'x', 'y');
SELECT new_row, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"a": 1, "b": 1, "c": "x", "d": "x"}', '{"a": 1, "b": 1, "c": "x", "d": "x"}');
SELECT new_row, cached() FROM volguard.conditional_update('pairs', '{"id": 2}', '{"a": 5, "b": 6, "c": "p", "d": "q"}', '{"a": 3, "b": 4, "c": "x", "d": "y"}');
SELECT unmet, cached() FROM volguard.conditional_update('pairs', '{"id": 2}', '{"a": 1, "b": 1, "c": "x", "d": "x"}', '{"a": 5, "b": 5, "c": "p", "d": "p"}');
SELECT outcome, cached() FROM volguard.conditional_update('pairs', '{"id": 3}', '{"a": 5, "b": 6, "c": "p", "d": "q"}', '{"a": 3, "b": 4, "c": "x", "d": "y"}');
SELECT * FROM pairs ORDER BY id;

-- A scalar of another type, and null, make another form; so do the values inside a list or an object.
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": "7"}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": 8}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": "1"}', '{"c": 9}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": true}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": false}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": null}', '{"c": "false"}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": "from null"}', '{"c": null}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 2}', '{"c": null}', '{"c": "p"}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": {"value": "v1"}}', '{"c": {"value": "from null"}}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": {"value": "v2"}}', '{"c": {"value": "v1"}}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": {"value": 3}}', '{"c": ["v2", null]}');
SELECT new_row ->> 'c' AS c, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"c": {"value": 4}}', '{"c": ["3", null]}');
SELECT new_row ->> 'a' AS a, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"a": {"add": [{"column": "a"}, 10]}}', '{"a": {"lt": 5}}');
SELECT new_row ->> 'a' AS a, cached() FROM volguard.conditional_update('pairs', '{"id": 1}', '{"a": {"add": [{"column": "a"}, 20]}}', '{"a": {"lt": 50}}');
SELECT new_row -> 'tags' AS tags, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"tags": {"value": ["a", "b"]}}', '{"tags": ["t1"]}');
SELECT new_row -> 'tags' AS tags, cached() FROM volguard.conditional_update('disks', '{"id": 2}', '{"tags": {"value": ["c"]}}', '{"tags": ["t2"]}');
SELECT new_row -> 'meta' AS meta, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"meta": {"value": {"owner": 1}}}', '{"meta": "new-1"}');
SELECT new_row -> 'meta' AS meta, cached() FROM volguard.conditional_update('disks', '{"id": 2}', '{"meta": {"value": {"owner": 2}}}', '{"meta": "new-2"}');
SELECT new_row -> 'meta' AS meta, cached() FROM volguard.conditional_update('disks', '{"id": 2}', '{"meta": 5}', '{"meta": {"owner": 2}}');
-- A number keeps each digit, text keeps each character.
SELECT new_row -> 'size' AS size, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"size": 1.10}');
SELECT new_row -> 'size' AS size, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"size": 12345678901234567890.00000000000000000001}');
SELECT new_row -> 'size' AS size, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"size": -0.0}');
SELECT new_row -> 'size' AS size, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"size": 1.50e30, "busy": null}');
SELECT new_row -> 'size' AS size, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"size": 2e-3, "busy": null}');
SELECT new_row ->> 'name' AS name, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"name": "a"}');
SELECT new_row ->> 'name' AS name, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"name": "\"ü\"\\n\n%s $1 🙂"}');
SELECT new_row ->> 'name' AS name, cached() FROM volguard.conditional_update('disks', '{"id": 1}', '{"name": ""}');

-- If no unique index covers the key, it stands in the statement twice, and a statement locks the row.
CREATE TABLE copies (id integer, kind text, status text);
INSERT INTO copies SELECT n, CASE WHEN n > 2 THEN 'twin' ELSE 'single-' || n END, 'ok' FROM generate_series(1, 4) AS n;
SELECT outcome, new_row, cached() FROM volguard.conditional_update('copies', '{"kind": "single-1"}', '{"status": "s1"}');
SELECT outcome, new_row, cached() FROM volguard.conditional_update('copies', '{"kind": "single-2"}', '{"status": "s2"}');
SELECT outcome FROM volguard.conditional_update('copies', '{"kind": "twin"}', '{"status": "s3"}');
SELECT outcome, new_row, cached() FROM volguard.conditional_update('copies', '{"id": 1, "kind": "single-1"}', '{"status": "l1"}', filter_sql => 'EXISTS (SELECT FROM parts) IS FALSE');
SELECT outcome, new_row, cached() FROM volguard.conditional_update('copies', '{"id": 2, "kind": "single-2"}', '{"status": "l2"}', filter_sql => 'EXISTS (SELECT FROM parts) IS FALSE');
SELECT outcome, new_row, cached() FROM volguard.conditional_update('copies', '{"id": 2, "kind": "single-1"}', '{"status": "l3"}', filter_sql => 'EXISTS (SELECT FROM parts) IS FALSE');
SELECT * FROM copies ORDER BY id;
-- The tables behind a view may change, so nothing is cached.
CREATE VIEW shown AS SELECT * FROM pairs;
SELECT new_row ->> 'd' AS d, cached() FROM volguard.conditional_update('shown', '{"id": 1}', '{"d": "through a view"}');
SELECT new_row ->> 'd' AS d, cached() FROM volguard.conditional_update('shown', '{"id": 2}', '{"d": "again"}');

-- Work: the row and the status of each call are its own, when it starts and when it finishes.
SELECT volguard.track_resource('cu_cached', 'disks'::regclass, status_column => 'name');
SELECT volguard.register_service('node', 'cu_cached', 'cu_cached') AS service \gset
CREATE TEMPORARY TABLE started AS
SELECT n, token, outcome, new_row FROM generate_series(1, 9) AS n,
    LATERAL volguard.start_work(:service, 'cu_cached', n::text, jsonb_build_object('name', 'doing-' || n, 'size', n), jsonb_build_object('code', 'd' || n));
SELECT count(*) FROM started JOIN disks ON id = n JOIN volguard.lock_status USING (token)
WHERE outcome = 'updated' AND (name, size) = ('doing-' || n, n) AND status = name AND resource_id = n::text AND new_row = to_jsonb(disks);
SELECT outcome, unmet FROM volguard.start_work(:service, 'cu_cached', '10', '{"name": "doing-10", "size": 10}', '{"code": "d9"}');
SELECT cached();
SELECT count(*) FROM started, LATERAL volguard.finish_work(token, jsonb_build_object('name', 'done-' || n, 'busy', n % 2 = 0)) AS finished
WHERE finished.outcome = 'updated' AND finished.new_row @> jsonb_build_object('id', n, 'name', 'done-' || n, 'busy', n % 2 = 0, 'size', n);
SELECT count(*) FROM disks WHERE id < 10 AND (name, busy) = ('done-' || id, id % 2 = 0);
SELECT cached();

SELECT volguard.deregister_service(:service);
DELETE FROM volguard.resources WHERE resource_type = 'cu_cached';
DROP SCHEMA cu_cached CASCADE;

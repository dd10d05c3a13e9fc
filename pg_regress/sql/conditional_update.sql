-- conditional_update: compare-and-swap on any table, and which condition failed.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu;
SET search_path = cu;
CREATE TABLE volumes (
    id text PRIMARY KEY,
    status text NOT NULL,
    previous_status text,
    attach_status text,
    size integer NOT NULL DEFAULT 1
);
INSERT INTO volumes VALUES ('v1', 'available', NULL, 'detached', 10), ('v2', 'in-use', NULL, 'attached', 20);

-- All conditions hold: the result is the whole new row. Old values are those before the update.
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v1"}',
    '{"status": "deleting", "previous_status": {"column": "status"}, "size": {"add": [{"column": "size"}, 5]}}',
    '{"status": ["available", "error"], "attach_status": {"not": "attached"}}');
-- If one condition fails, the update fails and names it, in the order
-- of the document (jsonb puts shorter names first). Nothing changes.
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v1"}', '{"status": "x"}', '{"status": "available", "size": 15}');
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"status": "x"}',
    '{"status": ["available", "error"], "attach_status": {"not": "attached"}, "size": null, "previous_status": {"not": null}}');
-- No such row, with conditions and without.
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v3"}', '{"status": "x"}', '{"status": "available"}');
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v3"}', '{"status": "x"}');
-- With named arguments, as other languages call it.
SELECT outcome, updated, unmet FROM volguard.conditional_update(
    target => 'cu.volumes', key => '{"id": "v2"}', changes => '{"size": 21}', expected => '{}', filter => NULL,
    fence => NULL, filter_sql => NULL, changes_sql => NULL);
SELECT * FROM volumes ORDER BY id;

-- Every condition with NULL, a value that is listed, and one that isn't.
CREATE TABLE truth (id text PRIMARY KEY, c text, touched integer NOT NULL DEFAULT 0);
INSERT INTO truth VALUES ('null', NULL), ('a', 'a'), ('b', 'b');
SELECT condition, string_agg(id, ', ' ORDER BY id) FILTER (WHERE outcome = 'updated') AS holds_for,
       bool_and(outcome = 'updated' OR unmet = '{c}') AS exact
FROM truth, unnest(ARRAY['"a"', 'null', '["a"]', '["a", null]', '["a", "b"]', '[null]', '[]',
                         '{"not": "a"}', '{"not": null}', '{"not": ["a"]}', '{"not": ["a", null]}', '{"not": []}',
                         '{"not": "a", "null": true}', '{"not": "a", "null": false}', '{"not": ["a", "b"], "null": false}',
                         '{"not": [], "null": false}']::jsonb[]) AS condition,
    volguard.conditional_update('truth', jsonb_build_object('id', id),
        '{"touched": {"add": [{"column": "touched"}, 1]}}', jsonb_build_object('c', condition))
GROUP BY condition ORDER BY condition::text COLLATE "C";
SELECT id, touched FROM truth ORDER BY id;

-- Values: all of them see the old row, whatever the order of the columns.
CREATE TABLE pairs (id integer PRIMARY KEY, a integer, b integer, big bigint, n numeric, at timestamptz, span interval);
INSERT INTO pairs VALUES (1, 1, 2, 5, 10, '2026-01-31 12:00+00', '1 hour');
SELECT new_row FROM volguard.conditional_update('pairs', '{"id": 1}', '{"a": {"column": "b"}, "b": {"column": "a"}}');
SELECT new_row FROM volguard.conditional_update('pairs', '{"id": 1}',
    '{"a": {"sub": [{"mul": [{"column": "a"}, 10]}, {"column": "b"}]}, "b": {"div": [7, 2]}, "n": {"div": [7.0, 2]}}');
SELECT new_row -> 'n' AS n FROM volguard.conditional_update('pairs', '{"id": 1}', '{"n": {"add": [12345678901234567890.000000000000000000001, 1]}}');
SELECT new_row -> 'n' AS n FROM volguard.conditional_update('pairs', '{"id": 1}', '{"n": 0.10000000000000000000000000000000000001}');
SELECT new_row -> 'big' AS big FROM volguard.conditional_update('pairs', '{"id": 1}', '{"big": {"add": [9223372036854775800, 7]}}');
-- In arithmetic on a date or time column, a string is an interval.
SELECT new_row ->> 'at' AS at, new_row ->> 'span' AS span FROM volguard.conditional_update('pairs', '{"id": 1}',
    '{"at": {"add": [{"column": "at"}, "1 day 5 minutes"]}, "span": {"mul": [{"add": [{"column": "span"}, "30 minutes"]}, 2]}}');
SELECT new_row ->> 'span' AS span FROM volguard.conditional_update('pairs', '{"id": 1}', '{"span": {"sub": [{"column": "at"}, {"column": "at"}]}}');
-- NULL in, NULL out.
SELECT new_row -> 'a' AS a FROM volguard.conditional_update('pairs', '{"id": 1}', '{"b": null}');
SELECT new_row -> 'a' AS a FROM volguard.conditional_update('pairs', '{"id": 1}', '{"a": {"add": [{"column": "b"}, 1]}}');

-- Any columns make a key; NULL is a value in it.
CREATE TABLE parts (node text, device text, slot integer, status text, UNIQUE (node, device));
INSERT INTO parts VALUES ('n1', 'sda', 1, 'ok'), ('n1', 'sdb', 2, 'ok'), ('n2', NULL, 3, 'ok'), ('n3', NULL, 4, 'ok'), ('n3', NULL, 5, 'bad');
SELECT outcome, new_row FROM volguard.conditional_update('parts', '{"node": "n1", "device": "sdb"}', '{"status": "failed"}');
SELECT outcome, new_row FROM volguard.conditional_update('parts', '{"node": "n2", "device": null}', '{"status": "failed"}');
SELECT outcome, new_row FROM volguard.conditional_update('parts', '{"slot": 1, "status": "ok"}', '{"slot": 9, "status": "moved"}');
-- Several rows: an error, also when the conditions would pick one of them, or none.
SELECT * FROM volguard.conditional_update('parts', '{"node": "n3"}', '{"status": "x"}'); :code
SELECT * FROM volguard.conditional_update('parts', '{"node": "n3", "device": null}', '{"status": "x"}', '{"slot": 5}'); :code
SELECT * FROM volguard.conditional_update('parts', '{"node": "n3", "device": null}', '{"status": "x"}', '{"slot": 6}'); :code
SELECT * FROM parts ORDER BY slot;
-- Indexes that look like a unique key but aren't: partial, with a deferred constraint, not unique.
CREATE TABLE twins (live integer, late integer UNIQUE DEFERRABLE INITIALLY DEFERRED, often integer, n integer, gone boolean);
CREATE UNIQUE INDEX ON twins (live) WHERE NOT gone;
CREATE UNIQUE INDEX ON twins (abs(n));
CREATE INDEX ON twins (often);
INSERT INTO twins VALUES (1, 1, 1, 1, false), (1, 2, 1, 2, true);
SELECT outcome FROM volguard.conditional_update('twins', '{"live": 1}', '{"n": 3}', '{"n": 2}'); :code
SELECT outcome FROM volguard.conditional_update('twins', '{"often": 1}', '{"n": 3}', '{"n": 2}'); :code
BEGIN;
UPDATE twins SET late = 1;
SELECT outcome FROM volguard.conditional_update('twins', '{"late": 1}', '{"n": 3}', '{"n": 2}'); :code
ROLLBACK;
SELECT outcome FROM volguard.conditional_update('twins', '{"late": 2}', '{"n": 4}', '{"n": 2}');
SELECT outcome FROM volguard.conditional_update('twins', '{"n": 1}', '{"n": 5}', '{"gone": false}');

-- Optimistic concurrency: the row as read.
SELECT to_jsonb(volumes) AS as_read FROM volumes WHERE id = 'v2' \gset
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"status": "x"}', :'as_read');
SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"status": "y"}', :'as_read');

-- A fence: if the token is held, the update is done; if it is released,
-- unknown or of a fenced service, that is an outcome and not an error.
SELECT volguard.register_service('node', 'volume', 'cu') AS service \gset
SELECT volguard.acquire(:service, 'volume', 'v2') AS token \gset
SELECT outcome, updated FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"size": 30}', fence => :token);
SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"size": 31}', '{"size": 1}', fence => :token);
SELECT volguard.release(:token);
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"size": 32}', fence => :token);
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v9"}', '{"size": 32}', fence => -1);
SELECT volguard.acquire(:service, 'volume', 'v2') AS token, volguard.register_service('node', 'volume', 'cu') AS successor \gset
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"size": 33}', fence => :token);
SELECT size FROM volumes WHERE id = 'v2';

-- A refusal writes nothing. If the row does not exist, the call takes not even a transaction id.
SELECT ctid AS before FROM volumes WHERE id = 'v2' \gset
SELECT n_tup_upd AS updates FROM pg_stat_xact_user_tables WHERE relid = 'volumes'::regclass \gset
BEGIN;
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": "v9"}', '{"size": 40}');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"size": 40}', '{"size": 41}');
SELECT outcome FROM volguard.conditional_update('volumes', '{"id": "v2"}', '{"size": 40}', fence => :token);
SELECT n_tup_upd - :updates AS updates FROM pg_stat_xact_user_tables WHERE relid = 'volumes'::regclass;
COMMIT;
SELECT ctid = :'before' AS same_tuple FROM volumes WHERE id = 'v2';

-- Triggers run as usual: their changes of the row are in the answer, and they may call conditional_update themselves.
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.attach_status := (volguard.conditional_update('cu.truth', '{"id": "a"}', '{"touched": 100}')).outcome;
    RETURN CASE WHEN NEW.size > 1000 THEN NULL ELSE NEW END;
END $$;
CREATE TRIGGER stamp BEFORE UPDATE ON volumes FOR EACH ROW EXECUTE FUNCTION stamp();
SELECT outcome, new_row FROM volguard.conditional_update('volumes', '{"id": "v1"}', '{"size": 50}');
SELECT * FROM volguard.conditional_update('volumes', '{"id": "v1"}', '{"size": 5000}'); :code
DROP TRIGGER stamp ON volumes;

-- A plan stays valid when its table changes.
CREATE TABLE changing (id integer PRIMARY KEY, a integer, b text);
INSERT INTO changing VALUES (1, 1, 'one');
PREPARE change AS SELECT outcome, new_row, unmet FROM volguard.conditional_update('cu.changing', '{"id": 1}', '{"a": 1}', '{"a": 1, "b": "one"}');
EXECUTE change;
ALTER TABLE changing ADD COLUMN c integer DEFAULT 7;
EXECUTE change;
ALTER TABLE changing ALTER a TYPE text;
EXECUTE change;
ALTER TABLE changing DROP COLUMN b, DROP COLUMN c;
ALTER TABLE changing ADD COLUMN b varchar(3) DEFAULT 'one';
EXECUTE change;
ALTER TABLE changing RENAME a TO z;
EXECUTE change;
ALTER TABLE changing RENAME z TO a;
ALTER TABLE changing DROP CONSTRAINT changing_pkey;
INSERT INTO changing VALUES (1, 'other');
EXECUTE change;
DELETE FROM changing WHERE a = 'other';
EXECUTE change;
DROP TABLE changing;
CREATE TABLE changing (b text, id text, a numeric);
INSERT INTO changing VALUES ('one', '1', 1.0);
EXECUTE change;

-- More forms than the number of plans that are kept.
SELECT count(*), sum(updated) FROM generate_series(1, 25) AS n, generate_series(1, 24) AS m,
    LATERAL (SELECT array_fill('b'::text, ARRAY[n]), array_fill('b'::text, ARRAY[m])) AS lists (c, id),
    LATERAL volguard.conditional_update('truth', '{"id": "b"}', '{"touched": 1}', to_jsonb(lists)) AS answer;

SELECT count(*) < 300 AS bounded FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource';

-- A partitioned table, also when the row moves; a parent whose children may have the same key.
CREATE TABLE measured (zone integer, id integer, status text, PRIMARY KEY (zone, id)) PARTITION BY LIST (zone);
CREATE TABLE measured_1 PARTITION OF measured FOR VALUES IN (1);
CREATE TABLE measured_2 PARTITION OF measured FOR VALUES IN (2);
INSERT INTO measured VALUES (1, 1, 'ok'), (2, 2, 'ok');
SELECT outcome, new_row FROM volguard.conditional_update('measured', '{"zone": 1, "id": 1}', '{"status": "moved", "zone": 2}', '{"status": "ok"}');
SELECT outcome, unmet FROM volguard.conditional_update('measured', '{"zone": 2, "id": 1}', '{"status": "moved"}', '{"status": "ok"}');
SELECT tableoid::regclass, * FROM measured ORDER BY id;
SELECT outcome FROM volguard.conditional_update('measured_2', '{"zone": 2, "id": 2}', '{"status": "directly"}');
CREATE TABLE parent (id integer PRIMARY KEY, status text);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent VALUES (1, 'ok'), (2, 'ok');
INSERT INTO child VALUES (2, 'bad'), (3, 'ok');
SELECT outcome FROM volguard.conditional_update('parent', '{"id": 3}', '{"status": "x"}');
SELECT outcome FROM volguard.conditional_update('parent', '{"id": 2}', '{"status": "x"}', '{"status": "ok"}'); :code
SELECT tableoid::regclass, * FROM parent ORDER BY id, status;

-- Names that need quoting.
CREATE SCHEMA "My ""odd"" schema";
CREATE TABLE "My ""odd"" schema"."select" ("The Id" integer PRIMARY KEY, "a.b" text, "q""q" text, "t" text, "$1" text, "ünï" text, "user" text);
INSERT INTO "My ""odd"" schema"."select" VALUES (1);
SELECT outcome, new_row FROM volguard.conditional_update('"My ""odd"" schema"."select"', '{"The Id": 1}',
    '{"a.b": "dot", "q\"q": {"column": "user"}, "t": "t.*", "$1": "$2", "ünï": "cödé", "user": "me"}',
    '{"a.b": null, "q\"q": [null, "x"], "t": {"not": "t"}, "$1": null, "ünï": null, "user": null}');
DROP SCHEMA "My ""odd"" schema" CASCADE;

-- A unique index finds the row by its key: no condition or cast prevents that.
CREATE TABLE indexed (id uuid PRIMARY KEY, name varchar(40) UNIQUE, status text);
INSERT INTO indexed SELECT md5(n::text)::uuid, 'volume-' || n, 'ok' FROM generate_series(1, 5000) AS n;
ANALYZE indexed;
BEGIN;
SELECT seq_scan AS seq, idx_scan AS idx FROM pg_stat_xact_user_tables WHERE relid = 'indexed'::regclass \gset
SELECT outcome FROM volguard.conditional_update('indexed', jsonb_build_object('id', md5('7')), '{"status": "a"}', '{"status": ["ok", null]}');
SELECT outcome FROM volguard.conditional_update('indexed', '{"name": "volume-8"}', '{"status": "a"}', '{"status": {"not": "ok"}}');
SELECT seq_scan - :seq AS seq_scans, idx_scan - :idx AS idx_scans FROM pg_stat_xact_user_tables WHERE relid = 'indexed'::regclass;
COMMIT;

SELECT volguard.deregister_service(:successor);
DROP SCHEMA cu CASCADE;

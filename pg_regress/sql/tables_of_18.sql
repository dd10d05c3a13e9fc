-- Tables that Postgres knows from 18 on.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT current_setting('server_version_num')::integer < 180000 AS older \gset
\if :older
\quit
\endif
SELECT volguard.register_service('node-1', 'volume', 'of-18') AS one \gset

-- A virtual column is computed when it is read: in conditions, in the row of an answer, and as read.
CREATE TABLE virtual (id text PRIMARY KEY, status text, size integer, bytes bigint GENERATED ALWAYS AS (size::bigint * 1024) VIRTUAL);
INSERT INTO virtual VALUES ('v-1', 'available', 2);
SELECT outcome, new_row, unmet FROM volguard.conditional_update('virtual', '{"id": "v-1"}', '{"size": 3}', '{"bytes": 2048}');
SELECT outcome, new_row, unmet FROM volguard.conditional_update('virtual', '{"id": "v-1"}', '{"size": 4}', '{"bytes": {"lt": 3072}}');
SELECT outcome, new_row FROM volguard.conditional_update('virtual', '{"id": "v-1"}', '{"size": {"column": "bytes"}}', filter => '{"where": {"bytes": {"gt": {"column": "size"}}}}');
SELECT outcome FROM volguard.conditional_update('virtual', '{"id": "v-1"}', '{"size": 2}', (SELECT to_jsonb(virtual) FROM virtual));
SELECT outcome FROM volguard.conditional_update('virtual', '{"bytes": 2048}', '{"size": 2}');
SELECT volguard.conditional_update('virtual', '{"id": "v-1"}', '{"bytes": 1}'); :code
SELECT volguard.track_resource('virtual', 'virtual');
SELECT outcome, new_row FROM volguard.start_work(:one, 'virtual', 'v-1', '{"status": "extending"}', '{"bytes": 2048}');
SELECT outcome, new_row FROM volguard.finish_work((SELECT token FROM volguard.lock_status WHERE resource_type = 'virtual'), '{"status": "available", "size": 5}');

-- NULLs may be left under a constraint that is not validated. They compare as in any column.
CREATE TABLE unvalidated (id integer PRIMARY KEY, host text, previous text);
INSERT INTO unvalidated VALUES (1, NULL, NULL), (2, 'a', 'a');
ALTER TABLE unvalidated ADD CONSTRAINT host NOT NULL host NOT VALID, ADD CONSTRAINT previous NOT NULL previous NOT VALID;
SELECT outcome, unmet FROM volguard.conditional_update('unvalidated', '{"id": 1}', '{"host": "b", "previous": "b"}', '{"host": {"ne": {"column": "previous"}}}');
SELECT outcome, unmet FROM volguard.conditional_update('unvalidated', '{"id": 1}', '{"host": "b", "previous": "c"}', '{"host": {"eq": {"column": "previous"}}}');
SELECT outcome, unmet FROM volguard.conditional_update('unvalidated', '{"id": 1}', '{"host": "c"}', '{"host": {"eq": {"column": "previous"}}}');
SELECT outcome, unmet FROM volguard.conditional_update('unvalidated', '{"id": 2}', '{"host": "c"}', '{"host": {"eq": {"column": "previous"}}}');
ALTER TABLE unvalidated VALIDATE CONSTRAINT host, VALIDATE CONSTRAINT previous;
SELECT outcome, unmet FROM volguard.conditional_update('unvalidated', '{"id": 2}', '{"host": "d"}', '{"host": {"ne": {"column": "previous"}}}');

-- A temporal key: one row at each moment, several of one id. So the id alone is no key.
CREATE EXTENSION btree_gist;
CREATE TABLE temporal (id text, valid tstzrange, status text, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
INSERT INTO temporal VALUES ('v-1', '[2026-01-01 00:00+00, 2026-02-01 00:00+00)', 'available'), ('v-1', '[2026-02-01 00:00+00, 2026-03-01 00:00+00)', 'available'),
    ('v-2', '[2026-01-01 00:00+00,)', 'available');
SET timezone = 'UTC';
SELECT outcome, new_row FROM volguard.conditional_update('temporal', '{"id": "v-1", "valid": "[2026-01-01 00:00+00, 2026-02-01 00:00+00)"}', '{"status": "error"}', '{"status": "available"}');
SELECT outcome, unmet FROM volguard.conditional_update('temporal', '{"id": "v-1", "valid": "[2026-01-01 00:00+00, 2026-02-01 00:00+00)"}', '{"status": "error"}', '{"status": "available"}');
SELECT outcome FROM volguard.conditional_update('temporal', '{"id": "v-1"}', '{"status": "error"}'); :code
SELECT outcome FROM volguard.conditional_update('temporal', '{"id": "v-2"}', '{"status": "error"}');
SELECT volguard.track_resource('temporal', 'temporal');
SELECT outcome FROM volguard.start_work(:one, 'temporal', 'v-1', '{"status": "deleting"}'); :code

-- What refers to a row by a foreign key with PERIOD counts in a condition on other tables, and keeps the key.
CREATE TABLE attached (volume text, during tstzrange, host text, PRIMARY KEY (volume, during WITHOUT OVERLAPS),
    FOREIGN KEY (volume, PERIOD during) REFERENCES temporal (id, PERIOD valid));
INSERT INTO attached VALUES ('v-2', '[2026-01-05 00:00+00, 2026-01-06 00:00+00)', 'a');
SELECT outcome, unmet FROM volguard.conditional_update('temporal', '{"id": "v-2", "valid": "[2026-01-01 00:00+00,)"}', '{"status": "deleting"}',
    filter => '{"not": {"exists": {"table": "attached", "where": {"volume": {"eq": {"outer": "id"}}}}}}');
SELECT volguard.conditional_update('temporal', '{"id": "v-2", "valid": "[2026-01-01 00:00+00,)"}', '{"id": "v-3"}'); :code

DROP TABLE attached, temporal, unvalidated;
DELETE FROM volguard.resources WHERE resource_type IN ('virtual', 'temporal');
DROP TABLE virtual;
DROP EXTENSION btree_gist;

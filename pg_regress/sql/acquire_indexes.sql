-- acquire writes its row without an SQL statement: indexes and
-- constraints of the table get what a statement would give them.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set VERBOSITY sqlstate
CREATE EXTENSION amcheck;
-- Each index of the table has an entry for each row that it covers.
CREATE FUNCTION pg_temp.checked() RETURNS bigint LANGUAGE sql AS
$$ SELECT count(*) FROM (SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'volguard.workers'::regclass AND indisvalid) AS checked $$;
SELECT volguard.register_service('node-1', 'volume', 'idx') AS one \gset

SELECT volguard.acquire(:one, 'volume', 'i-1') IS NOT NULL AS plain, volguard.acquire(:one, 'volume', 'i-2', status => 'creating') IS NOT NULL AS work;
SELECT pg_temp.checked();

-- Other btrees: with included columns, in descending order, partial.
BEGIN;
CREATE INDEX including ON volguard.workers (acquired_at DESC) INCLUDE (status, token);
CREATE INDEX without_request ON volguard.workers (token) WHERE request_id IS NULL;
CREATE INDEX with_details ON volguard.workers (token) WHERE details IS NOT NULL;
SELECT volguard.acquire(:one, 'volume', 'i-3') IS NOT NULL AS plain,
       volguard.acquire(:one, 'volume', 'i-4', request_id => '00000000-0000-0000-0000-000000000001', details => '{}') IS NOT NULL AS both;
SELECT pg_temp.checked();
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT count(*) FROM volguard.workers WHERE request_id IS NULL AND token > 0 AND cluster = 'idx';
SELECT count(*) FROM volguard.workers WHERE details IS NOT NULL AND token > 0 AND cluster = 'idx';
ROLLBACK;

-- Nine indexes, one of which is dropped.
BEGIN;
DROP INDEX volguard.workers_token_key;
SELECT volguard.acquire(:one, 'volume', 'i-3') IS NOT NULL AS without;
SELECT pg_temp.checked();
CREATE INDEX ON volguard.workers (status);
CREATE INDEX ON volguard.workers (request_id);
CREATE INDEX ON volguard.workers (acquired_at);
CREATE INDEX ON volguard.workers (updated_at);
CREATE INDEX ON volguard.workers (lock_name);
CREATE INDEX ON volguard.workers (cluster);
SELECT volguard.acquire(:one, 'volume', 'i-4') IS NOT NULL AS nine;
SELECT pg_temp.checked();
ROLLBACK;

-- Indexes with expressions, with other predicates, of another access method.
BEGIN;
CREATE INDEX expression ON volguard.workers (upper(resource_id));
CREATE INDEX predicate ON volguard.workers (token) WHERE resource_id <> 'i-4';
CREATE INDEX both_predicates ON volguard.workers (token) WHERE status IS NULL AND details IS NULL;
CREATE INDEX hashed ON volguard.workers USING hash (resource_id);
SELECT volguard.acquire(:one, 'volume', 'i-3') IS NOT NULL AS got, volguard.acquire(:one, 'volume', 'i-4') IS NOT NULL AS got;
SELECT count(*) FROM pg_index CROSS JOIN LATERAL bt_index_check(indexrelid, true) WHERE indrelid = 'volguard.workers'::regclass AND indexrelid <> 'volguard.hashed'::regclass;
SET LOCAL enable_seqscan = off;
SELECT count(*) FROM volguard.workers WHERE resource_id = 'i-4';
ROLLBACK;

-- A unique index that isn't ready, because its build failed: it takes no entries and enforces nothing.
SELECT volguard.acquire(:one, 'volume', 'i-3', 'twice') IS NOT NULL AS got, volguard.acquire(:one, 'volume', 'i-4', 'twice') IS NOT NULL AS got;
CREATE UNIQUE INDEX CONCURRENTLY lock_names ON volguard.workers (lock_name);
:code
SELECT indisready FROM pg_index WHERE indexrelid = 'volguard.lock_names'::regclass;
SELECT volguard.acquire(:one, 'volume', 'i-5', 'thrice') IS NOT NULL AS got, volguard.acquire(:one, 'volume', 'i-6', 'thrice') IS NOT NULL AS got;
DROP INDEX volguard.lock_names;
-- An index that is ready but not valid, as in the second half of its build: it enforces uniqueness for new rows.
BEGIN;
DELETE FROM volguard.workers WHERE cluster <> 'idx';
CREATE UNIQUE INDEX lock_names ON volguard.workers (lock_name) WHERE request_id IS NOT NULL;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'volguard.lock_names'::regclass;
SELECT volguard.acquire(:one, 'volume', 'i-7', 'once', request_id => '00000000-0000-0000-0000-000000000001') IS NOT NULL AS got,
       volguard.acquire(:one, 'volume', 'i-8', 'once') IS NOT NULL AS not_in_it;
SELECT volguard.acquire(:one, 'volume', 'i-9', 'once', request_id => '00000000-0000-0000-0000-000000000001');
:code
ROLLBACK;

-- Constraints: deferred, check, not null; a generated column.
BEGIN;
DELETE FROM volguard.workers WHERE cluster <> 'idx';
ALTER TABLE volguard.workers ADD CONSTRAINT once UNIQUE (resource_type, updated_at) DEFERRABLE INITIALLY DEFERRED;
SELECT volguard.acquire(:one, 'volume', 'i-7') IS NOT NULL AS got;
UPDATE volguard.workers SET updated_at = '2000-01-01' WHERE resource_id IN ('i-1', 'i-7');
SET CONSTRAINTS ALL IMMEDIATE;
:code
ROLLBACK;
BEGIN;
ALTER TABLE volguard.workers ADD COLUMN length integer GENERATED ALWAYS AS (length(resource_id)) STORED;
SELECT volguard.acquire(:one, 'volume', 'i-7') AS token \gset
SELECT length FROM volguard.workers WHERE token = :token;
ROLLBACK;
BEGIN;
ALTER TABLE volguard.workers ADD CONSTRAINT small CHECK (resource_id <> 'large');
SELECT volguard.acquire(:one, 'volume', 'i-7') IS NOT NULL AS got;
SELECT volguard.acquire(:one, 'volume', 'large');
:code
ROLLBACK;
BEGIN;
ALTER TABLE volguard.workers ADD COLUMN note text;
SELECT volguard.acquire(:one, 'volume', 'i-7') IS NOT NULL AS null_note;
ALTER TABLE volguard.workers ADD COLUMN must boolean NOT NULL DEFAULT true;
SELECT volguard.acquire(:one, 'volume', 'i-8');
:code
ROLLBACK;

-- Details that don't fit on a page, and details that come from another table.
CREATE TABLE large AS SELECT jsonb_agg(md5(i::text)) AS details FROM generate_series(1, 2000) AS i;
SELECT volguard.acquire(:one, 'volume', 'i-7', details => details) AS token FROM large \gset
SELECT w.details = l.details AS whole FROM volguard.workers AS w, large AS l WHERE w.token = :token;
DROP TABLE large;
SELECT jsonb_array_length(details) FROM volguard.workers WHERE token = :token;

-- Under SERIALIZABLE, and in a read-only transaction.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.acquire(:one, 'volume', 'i-8') IS NOT NULL AS got;
COMMIT;
SELECT pg_temp.checked();
BEGIN READ ONLY;
SELECT volguard.acquire(:one, 'volume', 'i-9');
:code
ROLLBACK;

SELECT volguard.deregister_service(:one) AS work_left;
DELETE FROM volguard.workers WHERE cluster = 'idx';
DROP EXTENSION amcheck;

-- why: who holds a lock and what a cleanup would do, in sentences. Those about waiters are in the tests with several sessions.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET datestyle = 'ISO';
-- Without numbers and times, which differ from run to run.
CREATE FUNCTION pg_temp.why(resource_id text, lock_name text DEFAULT '') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(w, '[0-9]{4}-[0-9-]+ [0-9:]+([+-][0-9:]+| [A-Z]+)?', '<moment>', 'g'), '[0-9]{10,}', '<number>', 'g'), '(for|in|over|\() ?[0-9]+ (s|min|h|d)( [0-9]+ (s|min|h))?', '\1 <time>', 'g')
    FROM volguard.why('why', resource_id, lock_name) AS w
$$;
SELECT volguard.register_service('node-1', 'volume', 'why', '1 h') AS up, volguard.register_service('node-2', 'volume', 'why', '1 h') AS down, volguard.register_service('node-3', 'volume', 'why') AS fenced \gset
SELECT pg_temp.why('v-1');
SELECT volguard.acquire(:up, 'why', 'v-1') IS NOT NULL AS got, volguard.acquire(:up, 'why', 'v-2', 'attach', 'extending') IS NOT NULL AS got,
       volguard.acquire(:down, 'why', 'v-3') IS NOT NULL AS got, volguard.acquire(:down, 'why', 'v-4', status => 'extending') IS NOT NULL AS got,
       volguard.acquire(:fenced, 'why', 'v-5', status => 'extending') IS NOT NULL AS got, volguard.acquire(:fenced, 'why', 'v-6', status => 'deleting') IS NOT NULL AS got;
-- Alive: a plain lock; work, which has the slot of the resource whatever lock is asked for.
SELECT pg_temp.why('v-1');
SELECT pg_temp.why('v-2', 'attach');
SELECT pg_temp.why('v-2');
-- Down, without a rule and with one.
UPDATE volguard.services SET heartbeat_at = now() - interval '3 hours' WHERE service_id = :down;
UPDATE volguard.services SET fenced_at = now() - interval '2 hours' WHERE service_id = :fenced;
SELECT pg_temp.why('v-3');
SELECT pg_temp.why('v-4');
-- The dead service's lock is held by a transaction.
BEGIN;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() WHERE service_id = :down;
SELECT volguard.assert_held(token) FROM volguard.workers WHERE resource_type = 'why' AND resource_id = 'v-3';
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - interval '1 hour 10 min' WHERE service_id = :down;
SELECT regexp_replace(w, 'Session \d+ of role \w+', 'Session <pid> of role <role>') FROM pg_temp.why('v-3') AS w WHERE w ~ 'fenced|cleanup ends';
SET LOCAL volguard.gate_patience = '1 s';
SELECT w FROM pg_temp.why('v-3') AS w WHERE w ~ 'cleanup ends';
SET LOCAL volguard.gate_patience = 0;
SELECT regexp_replace(w, '\d+', '<pid>', 'g') FROM pg_temp.why('v-3') AS w WHERE w ~ 'gate_patience';
ROLLBACK;

CREATE TABLE why_volumes (id text PRIMARY KEY, status text);
INSERT INTO why_volumes VALUES ('v-4', 'extending'), ('v-5', 'extending'), ('v-6', 'deleting');
SELECT volguard.track_resource('why', 'why_volumes');
SELECT volguard.on_crash('why', 'extending', '{"status": "error"}');
SELECT pg_temp.why('v-4');
SET volguard.auto_cleanup = off;
SELECT pg_temp.why('v-4');
RESET volguard.auto_cleanup;
-- Suspended rules.
BEGIN;
CREATE TABLE why_moved (LIKE why_volumes INCLUDING ALL);
SELECT volguard.track_resource('why', 'why_moved');
SELECT w FROM pg_temp.why('v-4') AS w WHERE w ~ 'rule';
ALTER TABLE why_moved RENAME TO why_moved_again;
DROP TABLE why_moved_again;
SELECT w FROM pg_temp.why('v-4') AS w WHERE w ~ 'rule';
ROLLBACK;
-- Fenced; the reason and the time of a cleanup that has failed.
SELECT pg_temp.why('v-5');
UPDATE volguard.workers SET awaiting_reason = E'23514: new row violates\ncheck constraint "' || repeat('long ', 60) || '"', retry_at = now() + interval '90 min' WHERE resource_type = 'why' AND resource_id = 'v-5';
SELECT pg_temp.why('v-5');
SELECT awaiting_reason LIKE '23514%' AS reason, retry_at > now() AS later FROM volguard.lock_status WHERE resource_type = 'why' AND resource_id = 'v-5';
SELECT pg_temp.why('v-6');
-- A claim.
SET client_min_messages = warning;
SELECT resource_id FROM volguard.claim_cleanup(:up, 5, 'why');
RESET client_min_messages;
SELECT pg_temp.why('v-6');
-- A service without a row.
BEGIN;
DELETE FROM volguard.services WHERE service_id = :fenced;
UPDATE volguard.workers SET service_id = :fenced WHERE resource_type = 'why' AND resource_id = 'v-6';
SELECT pg_temp.why('v-6');
ROLLBACK;
-- What this transaction did isn't committed.
BEGIN;
SELECT volguard.acquire(:up, 'why', 'v-7') IS NOT NULL AS got;
SELECT (pg_temp.why('v-7'));
ROLLBACK;
-- No line is too long, whatever the names.
SELECT volguard.register_service(repeat('é', 127), repeat('p', 255), repeat('c', 255), '1 h') AS long \gset
SELECT volguard.acquire(:long, repeat('t', 255), repeat('é', 512), repeat('n', 255), repeat('s', 255)) IS NOT NULL AS got;
SELECT max(length(w)) <= 100 AS bounded FROM volguard.why(repeat('t', 255), repeat('é', 512), repeat('n', 255)) AS w;
SELECT w FROM volguard.why(repeat('t', 255), repeat('é', 512)) AS w WHERE w ~ 'slot';
-- Ids in the one spelling of their type; NULL and empty names.
CREATE TABLE why_numbers (id integer PRIMARY KEY, status text);
SELECT volguard.track_resource('why_number', 'why_numbers');
SELECT volguard.acquire(:up, 'why_number', '7') IS NOT NULL AS got;
SELECT w ~ 'is held' AS held FROM volguard.why('why_number', ' 07', NULL) AS w LIMIT 1;
SELECT volguard.why(NULL, 'v-1'); :code
SELECT volguard.why('why', NULL); :code
SELECT volguard.why('why', ''); :code
-- It writes nothing, and works where no verb does.
BEGIN READ ONLY;
SELECT count(*) > 3 AS sentences FROM volguard.why('why', 'v-1');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT count(*) > 3 AS sentences FROM volguard.why('why', 'v-1');
COMMIT;
DROP TABLE why_volumes, why_numbers;

-- Work that waits for a service: who may take it, and why none does.
CREATE TABLE why_volumes (id text PRIMARY KEY, status text);
INSERT INTO why_volumes SELECT 'w-' || n, 'available' FROM generate_series(1, 5) AS n;
SELECT volguard.track_resource('why-work', 'why_volumes');
SELECT volguard.register_service('node-7', 'manager', 'why-pool') AS seven \gset
CREATE FUNCTION why_masked(id text) RETURNS SETOF text LANGUAGE sql AS
$$SELECT regexp_replace(regexp_replace(regexp_replace(line, '\d{10,}', 'N', 'g'), 'since .* \(', 'since T ('), '\d+ (s|min)\y( \d+ s)?', 'S', 'g') FROM volguard.why('why-work', id) AS line$$;
SELECT outcome FROM volguard.submit_work('why-pool', 'why-work', 'w-1', '{"status": "deleting"}', operation => 'delete', priority => 5);
SELECT * FROM why_masked('w-1');
SELECT outcome FROM volguard.submit_work('why-pool', 'why-work', 'w-2', '{"status": "deleting"}', host => 'node-8', not_before => now() + interval '1 hour');
SELECT * FROM why_masked('w-2');
SELECT volguard.set_cluster_disabled('why-pool', true);
SELECT * FROM why_masked('w-1');
SELECT volguard.set_cluster_disabled('why-pool', false);
SELECT count(*) FROM volguard.next_work(:seven);
SELECT * FROM why_masked('w-1');
SELECT volguard.reset_resource('why-work', 'w-1'), volguard.reset_resource('why-work', 'w-2');
DROP FUNCTION why_masked;
DROP TABLE why_volumes;

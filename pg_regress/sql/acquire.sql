-- acquire: a lock, its token, and every way of not getting it. Waiting for other sessions is tested in specs/.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'acq') AS one, volguard.register_service('node-2', 'volume', 'acq') AS two,
       volguard.register_service('node-6', 'volume', 'acq-other') AS elsewhere \gset

SELECT volguard.acquire(:one, 'volume', 'a-1') AS token \gset
SELECT cluster, resource_type, resource_id, lock_name, token = :token AS same_token, service_id = :one AS mine, status, request_id, details,
       acquired_at = updated_at AS new, crashed_service_id
FROM volguard.workers WHERE cluster = 'acq';
-- A held lock is refused to another service and to the same one: locks are not counted.
SELECT volguard.acquire(:two, 'volume', 'a-1') AS other_service, volguard.acquire(:one, 'volume', 'a-1') AS same_service;
-- Another lock name, resource id or type is another key. Another cluster is not.
SELECT volguard.acquire(:two, 'volume', 'a-1', 'attach') IS NOT NULL AS lock_name,
       volguard.acquire(:two, 'volume', 'a-2') IS NOT NULL AS resource_id,
       volguard.acquire(:two, 'snapshot', 'a-1') IS NOT NULL AS resource_type,
       volguard.acquire(:elsewhere, 'volume', 'a-1') IS NOT NULL AS cluster;
-- Every argument by its name.
SELECT volguard.acquire(service_id => :one, resource_type => 'volume', resource_id => 'a-3', lock_name => 'n', status => 'creating', wait => '1 s',
                        request_id => '00000000-0000-0000-0000-000000000003', details => '{"step": 1}') IS NOT NULL AS got;
SELECT lock_name, status, request_id, details FROM volguard.lock_status WHERE cluster = 'acq' AND resource_id = 'a-3';
-- Names that give the same text when they are joined are different keys.
SELECT volguard.acquire(:one, 'ab', 'c', 'd') IS NOT NULL AS got, volguard.acquire(:two, 'a', 'bc', 'd') IS NOT NULL AS got, volguard.acquire(:two, 'a', 'b', 'cd') IS NOT NULL AS got;

-- Tokens and service ids: the time in units of 2^-22 s since 2025, exact as JavaScript's numbers. Each token of a key is larger than those before.
SELECT abs((extract(epoch FROM now() - '2025-01-01 UTC'::timestamptz) * (1 << 22))::bigint - :token) < 3600::bigint << 22 AS time, :token < 1::bigint << 53 AS exact, :token > :two AS one_sequence;
SELECT volguard.release(:token) AS released, :token AS earlier \gset
SELECT volguard.acquire(:two, 'volume', 'a-1') AS token \gset
SELECT :token > :earlier AS larger;
BEGIN;
SAVEPOINT before;
SELECT volguard.release(:token) AS released, :token AS earlier \gset
SELECT volguard.acquire(:one, 'volume', 'a-1') AS undone \gset
ROLLBACK TO before;
SELECT volguard.release(:token);
SELECT volguard.acquire(:one, 'volume', 'a-1') AS token \gset
COMMIT;
SELECT :undone > :earlier AS larger, :token > :undone AS larger_than_what_was_rolled_back;
-- A sequence that was set back is moved to the time, and past the numbers in the tables.
BEGIN;
UPDATE volguard.workers SET token = token + (5::bigint << 22) WHERE token = :token RETURNING token AS largest \gset
ALTER SEQUENCE volguard.clock RESTART;
SELECT volguard.register_service('node-3', 'volume', 'acq') > :largest AS larger;
UPDATE volguard.services SET service_id = service_id + (10::bigint << 22) WHERE service_id = :elsewhere RETURNING service_id AS largest \gset
ALTER SEQUENCE volguard.clock RESTART;
SELECT volguard.acquire(:one, 'volume', 'set back') > :largest AS larger;
INSERT INTO volguard.events (event_id, at, kind, role, details) SELECT max(service_id) + (3::bigint << 22), now(), 'test', 'test', '{}' FROM volguard.services RETURNING event_id AS largest \gset
ALTER SEQUENCE volguard.clock RESTART;
SELECT volguard.acquire(:one, 'volume', 'set back again') > :largest AS larger;
-- Also without the indexes.
ALTER TABLE volguard.events DROP CONSTRAINT events_pkey;
DROP INDEX volguard.workers_token_key;
ALTER SEQUENCE volguard.clock RESTART;
SELECT volguard.acquire(:one, 'volume', 'without an index') > :largest AS larger;
ROLLBACK;
-- One that is far ahead is a warning, once a minute in a session.
SELECT last_value + (90::bigint << 22) AS ahead FROM volguard.clock \gset
BEGIN;
ALTER SEQUENCE volguard.clock RESTART :ahead;
\set VERBOSITY sqlstate
SELECT volguard.acquire(:one, 'volume', 'ahead') >= :ahead AS ahead;
SELECT volguard.acquire(:one, 'volume', 'ahead of it') > :ahead AS ahead;
\set VERBOSITY default
ROLLBACK;
-- A move goes past rows that were rolled back, too; those of this file are far ahead.
VACUUM volguard.workers, volguard.services, volguard.events;
-- The values that a backend takes in advance from a sequence with a CACHE would be smaller than what others draw meanwhile.
ALTER SEQUENCE volguard.clock CACHE 20;
SELECT volguard.acquire(:one, 'volume', 'cached'); :code
SELECT volguard.register_service('node-8', 'volume', 'acq'); :code
ALTER SEQUENCE volguard.clock INCREMENT -1 CACHE 1;
SELECT volguard.acquire(:one, 'volume', 'cached'); :code
ALTER SEQUENCE volguard.clock INCREMENT 1 CYCLE;
SELECT volguard.acquire(:one, 'volume', 'cached'); :code
ALTER SEQUENCE volguard.clock NO CYCLE NO MAXVALUE;
SELECT volguard.acquire(:one, 'volume', 'cached'); :code
ALTER SEQUENCE volguard.clock MAXVALUE 9007199254740991;
BEGIN;
ALTER SEQUENCE volguard.clock RESTART 9007199254740991;
SELECT nextval('volguard.clock');
SELECT volguard.acquire(:one, 'volume', 'cached'); :code
ROLLBACK;
SELECT volguard.release(volguard.acquire(:one, 'volume', 'cached')) AS works_again;

-- The same request again returns the same token, whatever its other arguments
-- are. The request of another service, or for another key, is a different one.
SELECT volguard.acquire(:one, 'volume', 'retry', request_id => '00000000-0000-0000-0000-000000000001') AS token \gset
SELECT volguard.acquire(:one, 'volume', 'retry', request_id => '00000000-0000-0000-0000-000000000001') = :token AS same,
       volguard.acquire(:one, 'volume', 'retry', status => 'creating', wait => '1 min', request_id => '00000000-0000-0000-0000-000000000001') = :token AS same,
       volguard.acquire(:one, 'volume', 'retry', request_id => '00000000-0000-0000-0000-000000000002') AS another_request,
       volguard.acquire(:one, 'volume', 'retry') AS no_request,
       volguard.acquire(:two, 'volume', 'retry', request_id => '00000000-0000-0000-0000-000000000001') AS another_service,
       volguard.acquire(:one, 'volume', 'retry-2', request_id => '00000000-0000-0000-0000-000000000001') > :token AS another_key;
SELECT count(*), bool_and(status IS NULL) AS as_it_was FROM volguard.workers WHERE cluster = 'acq' AND resource_id = 'retry';
-- After a release the same request is a new acquisition: the first one was answered long ago.
SELECT volguard.release(:token);
SELECT volguard.acquire(:one, 'volume', 'retry', request_id => '00000000-0000-0000-0000-000000000001') > :token AS new;

-- The work slot: one operation with a status per resource, whatever the name of its lock. Plain locks are not affected.
SELECT volguard.acquire(:one, 'volume', 'work', 'one', status => 'extending') AS token \gset
SELECT volguard.acquire(:two, 'volume', 'work', 'two', status => 'deleting') AS slot_taken, volguard.acquire(:one, 'volume', 'work', 'two', status => 'deleting') AS by_oneself,
       volguard.acquire(:two, 'volume', 'work', 'one', status => 'deleting') AS key_taken, volguard.acquire(:two, 'volume', 'work', 'two') IS NOT NULL AS plain,
       volguard.acquire(:elsewhere, 'volume', 'work', status => 'deleting') IS NOT NULL AS other_cluster;
SELECT volguard.release(:token);
SELECT volguard.acquire(:two, 'volume', 'work', 'three', status => 'deleting') IS NOT NULL AS slot_free;

-- NULL for each argument: the last three may be NULL.
SELECT volguard.acquire(NULL, 'volume', 'n'); :code
SELECT volguard.acquire(:one, NULL, 'n'); :code
SELECT volguard.acquire(:one, 'volume', NULL); :code
SELECT volguard.acquire(:one, 'volume', 'null', lock_name => NULL, wait => NULL, status => NULL, request_id => NULL, details => NULL) IS NOT NULL AS got;

-- Details may nest as deep as jsonb allows.
SELECT volguard.acquire(:one, 'volume', 'deep', details => (repeat('[', 1000) || repeat(']', 1000))::jsonb) IS NOT NULL AS got;

-- Empty names. The empty lock name is the default lock of the resource.
SELECT volguard.acquire(:one, '', 'n'); :code
SELECT volguard.acquire(:one, 'volume', ''); :code
SELECT volguard.acquire(:one, 'volume', 'n', status => ''); :code
SELECT volguard.acquire(:one, 'volume', 'null', lock_name => '') AS refused;

-- Names that are too long, and names of the maximum length.
SELECT volguard.acquire(:one, repeat('t', 256), 'n'); :code
SELECT volguard.acquire(:one, 'volume', repeat('r', 1025)); :code
SELECT volguard.acquire(:one, 'volume', 'n', repeat('l', 256)); :code
SELECT volguard.acquire(:one, 'volume', 'n', status => repeat('s', 256)); :code
SELECT volguard.register_service('node-7', 'volume', 'acq-' || repeat('c', 251)) AS long \gset
SELECT volguard.acquire(:long, repeat('t', 255), (SELECT left(string_agg(md5(i::text), ''), 1024) FROM generate_series(1, 40) AS i), repeat('l', 255), repeat('s', 255)) IS NOT NULL AS got;

-- A wait must be finite, and not negative.
SELECT volguard.acquire(:one, 'volume', 'n', wait => '-1 ms'); :code
SELECT volguard.acquire(:one, 'volume', 'n', wait => '-1 day +23:59:59'); :code
SELECT volguard.acquire(:one, 'volume', 'n', wait => '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807'); :code
SELECT volguard.acquire(:one, 'volume', 'n', wait => '-178956970 years -7 mons -2147483648 days -2562047788:00:54.775807'); :code
SELECT volguard.acquire(:one, 'volume', 'waits', wait => '1000000 years'); :code
-- A driver's 5000 milliseconds are taken for seconds. The limit is a setting.
SELECT volguard.acquire(:one, 'volume', 'waits', wait => '5000'); :code
SET volguard.max_wait = '1500 ms';
SELECT volguard.acquire(:one, 'volume', 'waits', wait => '2 s'); :code
SELECT volguard.acquire(:one, 'volume', 'waits', wait => '1500 ms') IS NOT NULL AS free_at_once;
RESET volguard.max_wait;

-- A wait without success takes its time, and no longer.
SELECT clock_timestamp() AS started \gset
SELECT volguard.acquire(:two, 'volume', 'waits', wait => '300 ms') AS refused;
SELECT clock_timestamp() - :'started' BETWEEN '300 ms' AND '20 s' AS in_time;
SELECT clock_timestamp() AS started \gset
SELECT volguard.acquire(:two, 'volume', 'waits', wait => '0.000001 s') AS refused;
SELECT clock_timestamp() - :'started' < '20 s' AS in_time;
-- The caller's own lock_timeout is a different limit: it raises an error.
SET lock_timeout = '100 ms';
SELECT volguard.acquire(:two, 'volume', 'waits', wait => '1 min'); :code
RESET lock_timeout;
-- A cancel does too. (The place where it hits, and so the context of the report, is random.)
\set VERBOSITY terse
SET statement_timeout = '100 ms';
SELECT volguard.acquire(:two, 'volume', 'waits', wait => '1 min'); :code
RESET statement_timeout;
\set VERBOSITY default

-- A service that is unknown, fenced, or whose lease is over.
SELECT volguard.acquire(-1, 'volume', 'n'); :code
SELECT volguard.register_service('node-3', 'volume', 'acq') AS fenced \gset
SELECT volguard.acquire(:fenced, 'volume', 'f', request_id => '00000000-0000-0000-0000-00000000000f') IS NOT NULL AS got;
SELECT volguard.register_service('node-3', 'volume', 'acq') AS late \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :late;
\set VERBOSITY sqlstate
SELECT volguard.acquire(:fenced, 'volume', 'n');
SELECT volguard.acquire(:fenced, 'volume', 'n', wait => '1 min');
SELECT volguard.acquire(:fenced, 'volume', 'f', request_id => '00000000-0000-0000-0000-00000000000f');
SELECT volguard.acquire(:late, 'volume', 'n');
SELECT volguard.acquire(:late, 'volume', 'n', wait => '1 min');
-- The state of the calling service is checked first, even if the lock is taken.
SELECT volguard.acquire(:fenced, 'volume', 'waits', wait => '1 min');
SELECT volguard.acquire(:late, 'volume', 'waits');
\set VERBOSITY default
SELECT volguard.heartbeat(:late);
SELECT volguard.acquire(:late, 'volume', 'late') IS NOT NULL AS alive_again;
-- The mark is what refuses the fenced service: without it the same call gets the lock.
BEGIN;
UPDATE volguard.services SET fenced_at = NULL, host = 'zombie' WHERE service_id = :fenced;
SELECT volguard.acquire(:fenced, 'volume', 'n') IS NOT NULL AS got;
ROLLBACK;

-- No refused call has left a row.
SELECT count(*) FROM volguard.workers WHERE cluster = 'acq' AND (resource_id IN ('n', '') OR resource_type IN ('', repeat('t', 256)));

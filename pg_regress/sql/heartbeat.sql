-- heartbeat: the lease starts again, unless the service is fenced.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'beat', '90 s') AS alive, volguard.register_service('node-2', 'volume', 'beat') AS other \gset

SELECT volguard.heartbeat(:alive);
UPDATE volguard.services SET heartbeat_at = now() - interval '80 s' WHERE cluster = 'beat';
SELECT volguard.heartbeat(service_id => :alive);
SELECT service_id = :alive AS asked, heartbeat_at >= now() - interval '70 s' AS renewed FROM volguard.services WHERE cluster = 'beat' ORDER BY service_id;

-- The time is that of the database at the moment of the call, not at the start of the transaction.
BEGIN;
SELECT volguard.heartbeat(:alive);
SELECT heartbeat_at > now() AS after_the_start FROM volguard.services WHERE service_id = :alive;
COMMIT;

-- A service whose lease ran out is live again after a heartbeat, as long as it is not fenced.
UPDATE volguard.services SET heartbeat_at = now() - interval '1 hour' WHERE service_id = :alive;
SELECT state FROM volguard.service_status WHERE service_id = :alive;
SELECT volguard.heartbeat(:alive);
SELECT state FROM volguard.service_status WHERE service_id = :alive;

-- A clock that was set back: what lies ahead by less than a lease counts, what lies further ahead keeps no service alive.
-- A heartbeat brings it back.
SELECT volguard.acquire(:alive, 'volume', 'beat-1') IS NOT NULL AS got, volguard.heartbeat(:other);
UPDATE volguard.services SET heartbeat_at = clock_timestamp() + interval '80 s' WHERE service_id = :alive;
SELECT state FROM volguard.service_status WHERE service_id = :alive;
SELECT volguard.acquire(:other, 'volume', 'beat-1') IS NOT NULL AS got;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() + interval '1 hour' WHERE service_id = :alive;
SELECT state FROM volguard.service_status WHERE service_id = :alive;
\set VERBOSITY sqlstate
SELECT volguard.acquire(:alive, 'volume', 'beat-2');
\set VERBOSITY default
SELECT volguard.heartbeat(:alive);
SELECT volguard.acquire(:alive, 'volume', 'beat-2') IS NOT NULL AS got;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() + interval '1 hour' WHERE service_id = :alive;
SELECT volguard.acquire(:other, 'volume', 'beat-1') IS NOT NULL AS got;
SELECT state FROM volguard.service_status WHERE service_id = :alive;
SELECT volguard.register_service('node-3', 'volume', 'beat') AS ahead \gset
SELECT volguard.acquire(:ahead, 'volume', 'beat-3') IS NOT NULL AS got;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() + interval '1 hour' WHERE service_id = :ahead;
SELECT host, state, locks_released FROM volguard.cleanup(cluster => 'beat') WHERE state <> 'more';

-- NULL, unknown, fenced. A fenced service stays dead, whatever its lease or its last heartbeat.
SELECT volguard.heartbeat(NULL); :code
SELECT volguard.heartbeat(-1); :code
SELECT volguard.heartbeat(9223372036854775807); :code
SELECT volguard.register_service('node-1', 'volume', 'beat', '90 s') AS alive, :alive AS fenced \gset
SELECT heartbeat_at AS before FROM volguard.services WHERE service_id = :fenced \gset
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:fenced);
\set VERBOSITY default
SELECT heartbeat_at = :'before' AS unchanged, fenced_at IS NULL AS live FROM volguard.services WHERE service_id = :fenced;
-- The mark is what keeps it dead: if it is removed by force, the zombie is back.
BEGIN;
UPDATE volguard.services SET fenced_at = NULL, host = 'zombie' WHERE service_id = :fenced;
SELECT volguard.heartbeat(:fenced);
ROLLBACK;

-- No index has the heartbeat column, and the update stays on its page.
SELECT count(*) FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
WHERE indrelid = 'volguard.services'::regclass AND attname = 'heartbeat_at';
BEGIN;
SELECT n_tup_upd AS updates, n_tup_hot_upd AS hot FROM pg_stat_xact_all_tables WHERE relid = 'volguard.services'::regclass \gset
SELECT volguard.heartbeat(:alive);
SELECT n_tup_upd - :updates AS updates, n_tup_hot_upd - :hot AS hot FROM pg_stat_xact_all_tables WHERE relid = 'volguard.services'::regclass;
COMMIT;

-- A refusal leaves no trace, not even a transaction id.
BEGIN;
\set ON_ERROR_ROLLBACK on
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:fenced);
\set VERBOSITY default
\set ON_ERROR_ROLLBACK off
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;

-- Every isolation level works; a read-only transaction doesn't.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.heartbeat(:alive);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.heartbeat(:alive);
COMMIT;
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:alive);
\set VERBOSITY default
ROLLBACK;

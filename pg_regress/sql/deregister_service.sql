-- deregister_service: an orderly stop. Plain locks are free at once, work is left to cleanup.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'dereg') AS stops, volguard.register_service('node-2', 'volume', 'dereg') AS stays \gset

-- The service holds nothing: it is gone without a trace.
SELECT volguard.deregister_service(:stops);
SELECT service_id = :stays AS stays FROM volguard.services WHERE cluster = 'dereg';
-- A service that is gone counts as fenced: one error for both.
\set VERBOSITY sqlstate
SELECT volguard.deregister_service(:stops);
SELECT volguard.heartbeat(:stops);
SELECT volguard.acquire(:stops, 'volume', 'd-1');
\set VERBOSITY default

-- Only plain locks: they are free, and the service is gone.
SELECT volguard.register_service('node-1', 'volume', 'dereg') AS stops \gset
SELECT volguard.acquire(:stops, 'volume', 'd-' || i) IS NOT NULL AS got FROM generate_series(1, 2) AS i;
SELECT volguard.acquire(:stays, 'volume', 'd-1') AS refused;
SELECT volguard.deregister_service(service_id => :stops);
SELECT count(*) FROM volguard.workers WHERE cluster = 'dereg';
SELECT count(*) FROM volguard.services WHERE service_id = :stops;
SELECT volguard.acquire(:stays, 'volume', 'd-1') AS stays_token \gset

-- With work in progress the row stays, fenced, until a cleanup has
-- finished with the work; the resource stays locked until then.
SELECT volguard.register_service('node-1', 'volume', 'dereg') AS stops \gset
SELECT volguard.acquire(:stops, 'volume', 'd-2', status => 'creating') AS work, volguard.acquire(:stops, 'volume', 'd-3', status => 'deleting') AS work2,
       volguard.acquire(:stops, 'volume', 'd-4') AS plain \gset
SELECT volguard.deregister_service(:stops);
SELECT state, held_locks FROM volguard.service_status WHERE service_id = :stops;
SELECT resource_id, status, alive FROM volguard.lock_status WHERE service_id = :stops ORDER BY 1;
SELECT volguard.acquire(:stays, 'volume', 'd-2') IS NULL AS still_taken, volguard.acquire(:stays, 'volume', 'd-4') IS NOT NULL AS free;
SELECT volguard.release(:work) AS fenced_token_releases;
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:work);
SELECT volguard.deregister_service(:stops);
SELECT volguard.heartbeat(:stops);
\set VERBOSITY default
SELECT count(*) FROM volguard.workers WHERE service_id = :stops;

-- A service whose lease is over, but that is not fenced, may still stop in order.
SELECT volguard.register_service('late', 'volume', 'dereg') AS late \gset
SELECT volguard.acquire(:late, 'volume', 'd-5') IS NOT NULL AS got;
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 day' WHERE service_id = :late;
SELECT volguard.deregister_service(:late);
SELECT count(*) FROM volguard.services WHERE service_id = :late;

-- NULL and an unknown service.
SELECT volguard.deregister_service(NULL); :code
SELECT volguard.deregister_service(-1); :code

-- After a rollback it never stopped: its locks are held, its tokens valid.
BEGIN;
SELECT volguard.deregister_service(:stays);
SELECT count(*) FROM volguard.workers WHERE service_id = :stays;
ROLLBACK;
SELECT volguard.assert_held(:stays_token);
SELECT count(*) FROM volguard.workers WHERE service_id = :stays;
BEGIN;
SAVEPOINT before;
SELECT volguard.deregister_service(:stays);
ROLLBACK TO before;
SELECT volguard.heartbeat(:stays);
COMMIT;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

-- Every isolation level works.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.deregister_service(:stays);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.deregister_service(:stays);
COMMIT;
SELECT count(*) FROM volguard.services WHERE service_id = :stays;

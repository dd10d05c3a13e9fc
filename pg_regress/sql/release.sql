-- release: gives a lock back, once.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'rel') AS one, volguard.register_service('node-2', 'volume', 'rel') AS two \gset

SELECT volguard.acquire(:one, 'rel-volume', 'r-1') AS token, volguard.acquire(:one, 'rel-volume', 'r-2', status => 'creating') AS work \gset
SELECT volguard.release(:token);
SELECT volguard.release(token => :work);
SELECT count(*) FROM volguard.workers WHERE cluster = 'rel';
-- A second call, or an unknown token, returns false, so that a retry is safe.
SELECT volguard.release(:token), volguard.release(-1) AS never, volguard.release(0) AS never, volguard.release(9223372036854775807) AS never;
SELECT volguard.release(NULL); :code

-- An old token doesn't release the later lock of another service.
SELECT volguard.acquire(:two, 'rel-volume', 'r-1') AS next \gset
SELECT volguard.release(:token) AS old_token;
SELECT token = :next AS still_held FROM volguard.workers WHERE cluster = 'rel';
SELECT volguard.release(:next);

-- A service whose lease is over can release its locks; a fenced one has none to release.
SELECT volguard.acquire(:one, 'rel-volume', 'r-3') AS token, volguard.acquire(:one, 'rel-volume', 'r-4') AS kept \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
SELECT volguard.release(:token) AS late;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :one;
SELECT volguard.release(:kept) AS fenced;
SELECT count(*) FROM volguard.workers WHERE cluster = 'rel';
-- The mark is what refuses it.
BEGIN;
UPDATE volguard.services SET fenced_at = NULL WHERE service_id = :one;
SELECT volguard.release(:kept) AS live;
ROLLBACK;

-- After a rollback it is held as before; after a release within a transaction, the lock is free to that transaction.
SELECT volguard.acquire(:two, 'rel-volume', 'r-5') AS token \gset
BEGIN;
SELECT volguard.release(:token);
SELECT volguard.release(:token) AS twice;
ROLLBACK;
SELECT volguard.assert_held(:token);
BEGIN;
SAVEPOINT before;
SELECT volguard.release(:token);
ROLLBACK TO before;
SELECT volguard.acquire(:two, 'rel-volume', 'r-5') AS refused;
SELECT volguard.release(:token);
SELECT volguard.acquire(:two, 'rel-volume', 'r-5') > :token AS got;
COMMIT;

-- A call that returns false writes nothing.
BEGIN;
SELECT sum(n_tup_del) AS del FROM pg_stat_xact_all_tables WHERE schemaname = 'volguard' \gset
SELECT volguard.release(:token), volguard.release(:kept);
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid, sum(n_tup_del) - :del AS del FROM pg_stat_xact_all_tables WHERE schemaname = 'volguard';
COMMIT;

-- Every isolation level works.
SELECT volguard.acquire(:two, 'rel-volume', 'r-6') AS rr, volguard.acquire(:two, 'rel-volume', 'r-7') AS ser \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.release(:rr), volguard.release(:rr) AS twice;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.release(:ser), volguard.release(:ser) AS twice;
COMMIT;
SELECT count(*) FROM volguard.workers WHERE cluster = 'rel' AND resource_id IN ('r-6', 'r-7');

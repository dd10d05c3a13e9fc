-- finish_cleanup: claimed work is done, and its lock is free.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'finish') AS one, volguard.register_service('node-2', 'volume', 'finish') AS dead \gset
SELECT count(volguard.acquire(:dead, 'volume', 'f-' || i, status => 'deleting')) FROM generate_series(1, 6) AS i;
SELECT volguard.deregister_service(:dead);
CREATE TEMP TABLE claims AS SELECT * FROM volguard.claim_cleanup(:one, 10);
SELECT token AS f1 FROM claims WHERE resource_id = 'f-1' \gset
SELECT token AS f2 FROM claims WHERE resource_id = 'f-2' \gset
SELECT token AS f3 FROM claims WHERE resource_id = 'f-3' \gset
SELECT token AS f4 FROM claims WHERE resource_id = 'f-4' \gset
SELECT token AS f5 FROM claims WHERE resource_id = 'f-5' \gset

SELECT volguard.acquire(:one, 'volume', 'f-1') AS held, volguard.acquire(:one, 'volume', 'f-1', 'other', status => 'growing') AS slot;
SELECT volguard.finish_cleanup(:f1);
SELECT volguard.acquire(:one, 'volume', 'f-1', status => 'growing') > :f1 AS free;
-- A second call, or an unknown token, returns false, so that a retry is safe.
SELECT volguard.finish_cleanup(token => :f1), volguard.finish_cleanup(-1) AS never, volguard.finish_cleanup(0) AS never;
SELECT volguard.finish_cleanup(NULL); :code
-- A lock that was acquired is not a claim.
SELECT token AS lock FROM volguard.workers WHERE service_id = :one AND crashed_service_id IS NULL \gset
SELECT volguard.finish_cleanup(:lock); :code
SELECT volguard.release(:lock);
-- A claim is a lock: a release has the same effect.
SELECT volguard.release(:f2), volguard.finish_cleanup(:f2);
SELECT volguard.release_all(ARRAY[:f3, :f3]), volguard.finish_cleanup(:f3);
-- The claimer may change the status of the work; without a status it is a plain lock.
SELECT volguard.set_status(:f4, 'wiping');
SELECT status, crashed_service_id = :dead AS claim FROM volguard.workers WHERE token = :f4;
SELECT volguard.set_status(:f4, NULL);
SELECT status, crashed_service_id FROM volguard.workers WHERE token = :f4;
SELECT volguard.finish_cleanup(:f4); :code
SELECT volguard.release(:f4);
-- After a rollback it is held as before.
BEGIN;
SELECT volguard.finish_cleanup(:f5), volguard.finish_cleanup(:f5) AS twice;
ROLLBACK;
SELECT volguard.assert_held(:f5);
-- A call that returns false writes nothing and leaves no lock.
BEGIN;
SELECT volguard.finish_cleanup(:f1);
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.finish_cleanup(:f5), volguard.finish_cleanup(:f5) AS twice;
COMMIT;
-- A claimer whose lease is over can finish; a fenced one can't.
SELECT token AS f6 FROM claims WHERE resource_id = 'f-6' \gset
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :one;
SELECT volguard.finish_cleanup(:f6), volguard.abandon_cleanup(:f6);
SELECT resource_id FROM volguard.workers WHERE cluster = 'finish';
-- The mark is what refuses it.
UPDATE volguard.services SET fenced_at = NULL, heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
SELECT volguard.finish_cleanup(:f6);
SELECT count(*) FROM volguard.workers WHERE cluster = 'finish';

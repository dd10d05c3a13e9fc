-- abandon_cleanup: claimed work goes back unchanged, so that another service can claim it.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'abandon') AS one, volguard.register_service('node-2', 'volume', 'abandon') AS two, volguard.register_service('node-3', 'volume', 'abandon') AS dead \gset
SELECT count(volguard.acquire(:dead, 'volume', 'a-' || i, status => 'deleting', request_id => '00000000-0000-0000-0000-000000000001', details => '{"why": "asked"}')) FROM generate_series(1, 3) AS i;
SELECT volguard.deregister_service(:dead);
CREATE TEMP TABLE before AS SELECT cluster, resource_type, resource_id, lock_name, service_id, status, acquired_at, details, crashed_service_id FROM volguard.workers WHERE cluster = 'abandon';
SELECT token AS a1, resource_id FROM volguard.claim_cleanup(:one) \gset
SELECT volguard.abandon_cleanup(:a1);
SELECT count(*) AS changed FROM (SELECT cluster, resource_type, resource_id, lock_name, service_id, status, acquired_at, details, crashed_service_id FROM volguard.workers WHERE cluster = 'abandon' EXCEPT SELECT * FROM before) AS changed;
-- It has no request id any more: the claim had none.
SELECT token > :a1 AS larger, token = :a1 AS same, request_id FROM volguard.workers WHERE resource_id = 'a-1' AND cluster = 'abandon';
-- The token of the claim is no longer valid.
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:a1);
SELECT volguard.set_status(:a1, 'again');
\set VERBOSITY default
SELECT volguard.release(:a1), volguard.finish_cleanup(:a1), volguard.abandon_cleanup(token => :a1) AS again, volguard.abandon_cleanup(-1) AS never;
SELECT volguard.abandon_cleanup(NULL); :code
-- Abandoned work comes last: work that no service can clean up does not block other work.
SELECT resource_id FROM volguard.claim_cleanup(:one);
SELECT resource_id FROM volguard.claim_cleanup(:two);
SELECT token AS again, token > :a1 AS larger, resource_id FROM volguard.claim_cleanup(:two) \gset
\echo :resource_id :larger
-- A lock that was acquired is not a claim.
SELECT volguard.acquire(:one, 'volume', 'plain') AS plain, volguard.acquire(:one, 'volume', 'own', status => 'growing') AS own \gset
SELECT volguard.abandon_cleanup(:plain); :code
SELECT volguard.abandon_cleanup(:own); :code
-- reconcile gives back claimed work that the list does not name, and deletes none of it.
SELECT volguard.reconcile(:two, ARRAY[:again]);
SELECT volguard.reconcile(:one, ARRAY[:own]);
SELECT resource_id, service_id = :dead AS dead, service_id = :two AS two FROM volguard.workers WHERE cluster = 'abandon' ORDER BY 1;
-- After a rollback the claim is held as before.
BEGIN;
SELECT volguard.abandon_cleanup(:again), volguard.abandon_cleanup(:again) AS twice;
ROLLBACK;
SELECT volguard.assert_held(:again);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.abandon_cleanup(:again), volguard.abandon_cleanup(:again) AS twice;
COMMIT;
SELECT count(*) FROM volguard.workers WHERE cluster = 'abandon' AND service_id = :dead;
DELETE FROM volguard.workers WHERE cluster = 'abandon';

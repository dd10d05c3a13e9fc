-- release_requests: what the requests of a service have taken is given back, and nothing else.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_requests_stranger;
RESET client_min_messages;
\set r1 00000000-0000-0000-0000-000000000001
\set r2 00000000-0000-0000-0000-000000000002
\set r3 00000000-0000-0000-0000-000000000003
\set r4 00000000-0000-0000-0000-000000000004
SELECT volguard.register_service('node-1', 'volume', 'requests') AS one, volguard.register_service('node-2', 'volume', 'requests') AS two \gset
CREATE TEMP VIEW held AS SELECT resource_id, lock_name, status, right(request_id::text, 1) AS request, service_id, crashed_service_id, token FROM volguard.workers WHERE cluster = 'requests' ORDER BY 1, 2;
SELECT volguard.acquire(:one, 'requests', 'q-1', request_id => :'r1') AS plain, volguard.acquire(:one, 'requests', 'q-2', status => 'creating', request_id => :'r1') AS work,
       volguard.acquire(:one, 'requests', 'q-3', request_id => :'r2') AS other_request, volguard.acquire(:one, 'requests', 'q-4') AS no_request, volguard.acquire(:two, 'requests', 'q-5', request_id => :'r1') AS other_service \gset
SELECT count(*) FROM volguard.acquire_all(:one, '[{"resource_type": "requests", "resource_id": "q-6"}, {"resource_type": "requests", "resource_id": "q-7", "status": "copying"}, {"resource_type": "requests", "resource_id": "q-7", "lock_name": "part"}]', request_id => :'r3');

-- One lock or several, plain or with work. An id may be listed twice, or be unknown.
SELECT volguard.release_requests(:one, ARRAY[:'r1', :'r3', :'r4', :'r1']::uuid[]);
SELECT resource_id, lock_name, request, service_id = :one AS ours FROM held;
SELECT volguard.release(:plain), volguard.release(:work);
-- The call can be repeated.
SELECT volguard.release_requests(service_id => :one, request_ids => ARRAY[:'r1', :'r3']::uuid[]) AS again, volguard.release_requests(:one, '{}') AS no_request;
-- The same request takes its lock anew, with another token.
SELECT volguard.acquire(:one, 'requests', 'q-1', request_id => :'r1') > :plain AS new;
SELECT volguard.release_requests(:one, ARRAY[:'r1']::uuid[]);
-- Only what is left of a list of locks is given back.
SELECT token FROM volguard.acquire_all(:one, '[{"resource_type": "requests", "resource_id": "q-6"}, {"resource_type": "requests", "resource_id": "q-7"}]', request_id => :'r3') LIMIT 1 \gset
SELECT volguard.release(:token), volguard.release_requests(:one, ARRAY[:'r3']::uuid[]) AS the_rest;

-- Claimed work is not deleted: it goes back to the crashed service, and is claimed after its other work.
SELECT volguard.register_service('node-3', 'volume', 'requests') AS dead \gset
SELECT count(volguard.acquire(:dead, 'requests', 'w-' || i, status => 'deleting', request_id => :'r4')) FROM generate_series(1, 5) AS i;
SELECT volguard.deregister_service(:dead);
SELECT token AS w1, resource_id FROM volguard.claim_cleanup(:one, request_id => :'r1') \gset
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => :'r2');
SELECT resource_id FROM volguard.claim_cleanup(:one);
SELECT resource_id FROM volguard.claim_cleanup(:two, request_id => :'r1');
-- Not by the request of the crashed service.
SELECT volguard.release_requests(:one, ARRAY[:'r4']::uuid[]);
SELECT volguard.release_requests(:one, ARRAY[:'r1']::uuid[]);
SELECT resource_id, request, service_id = :one AS one, service_id = :two AS two, service_id = :dead AS dead, crashed_service_id = :dead AS crashed FROM held WHERE resource_id LIKE 'w-%';
SELECT token > :w1 AS larger FROM held WHERE resource_id = 'w-1';
SELECT volguard.release(:w1), volguard.finish_cleanup(:w1), volguard.release_requests(:one, ARRAY[:'r1']::uuid[]) AS again;
SELECT resource_id FROM volguard.claim_cleanup(:two, 10);
-- Both kinds in one call. A claim that was made a plain lock is one.
SELECT volguard.abandon_cleanup(token) FROM held WHERE resource_id = 'w-5';
SELECT resource_id, volguard.set_status(token, NULL) FROM volguard.claim_cleanup(:one, request_id => :'r3');
SELECT resource_id, request, crashed_service_id IS NOT NULL AS claimed FROM held WHERE service_id = :one;
BEGIN;
SELECT volguard.release_requests(:one, ARRAY[:'r2', :'r3']::uuid[]);
SELECT resource_id, service_id = :dead AS dead, request FROM held WHERE service_id IN (:one, :dead);
ROLLBACK;

-- Bad input, and services that may not. Nothing of it changes anything.
SELECT volguard.release_requests(NULL, '{}'); :code
SELECT volguard.release_requests(:one, NULL);
SELECT volguard.release_requests(:one, ARRAY[:'r2', NULL]::uuid[]); :code
SELECT volguard.release_requests(:one, '{NULL}'); :code
SELECT volguard.release_requests(-1, '{}'); :code
CREATE ROLE regress_requests_stranger;
SELECT volguard.grant_usage('regress_requests_stranger');
SET ROLE regress_requests_stranger;
\set VERBOSITY sqlstate
SELECT volguard.release_requests(:one, ARRAY[:'r2']::uuid[]);
SELECT volguard.release_requests(:one, '{}');
RESET ROLE;
SELECT volguard.release_requests(:one, '{r2}');
BEGIN READ ONLY;
SELECT volguard.release_requests(:one, ARRAY[:'r2']::uuid[]);
ROLLBACK;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :one;
SELECT volguard.release_requests(:one, ARRAY[:'r2']::uuid[]);
SELECT volguard.release_requests(:one, '{}');
\set VERBOSITY default
SELECT resource_id, request FROM held WHERE service_id = :one;
-- The mark is what refuses it.
UPDATE volguard.services SET fenced_at = NULL WHERE service_id = :one;
BEGIN;
SELECT volguard.release_requests(:one, ARRAY[:'r2']::uuid[]);
ROLLBACK;

-- An expired lease does not fence.
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.release_requests(:one, ARRAY[:'r2']::uuid[]);
ROLLBACK;
BEGIN;
SELECT volguard.release_requests(:one, ARRAY[:'r4']::uuid[]) AS nothing;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.release_requests(:one, ARRAY[:'r2', :'r3']::uuid[]);
COMMIT;
SELECT resource_id, request FROM held WHERE service_id = :one;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();
DELETE FROM volguard.workers WHERE cluster = 'requests';
DROP OWNED BY regress_requests_stranger;
DROP ROLE regress_requests_stranger;

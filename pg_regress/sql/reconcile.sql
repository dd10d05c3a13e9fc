-- reconcile: locks of a service that are not in its list are released.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'recon') AS one, volguard.register_service('node-2', 'volume', 'recon') AS two \gset
SELECT volguard.acquire(:one, 'volume', 'c-1') AS known, volguard.acquire(:one, 'volume', 'c-2') AS forgotten, volguard.acquire(:one, 'volume', 'c-3', status => 'creating') AS work,
       volguard.acquire(:two, 'volume', 'c-4') AS others \gset

-- The list may contain tokens of other services and unknown tokens; they have no effect.
SELECT volguard.reconcile(:one, ARRAY[:known, :others, -1, :known]);
SELECT resource_id FROM volguard.workers WHERE cluster = 'recon' ORDER BY 1;
SELECT volguard.reconcile(service_id => :one, tokens => ARRAY[:known]) AS nothing_more;
-- With an empty list all locks of the service are released; those of other services stay.
SELECT volguard.reconcile(:one, '{}');
SELECT resource_id FROM volguard.workers WHERE cluster = 'recon' ORDER BY 1;

SELECT volguard.reconcile(NULL, '{}'); :code
SELECT volguard.reconcile(:two, NULL); :code
SELECT volguard.reconcile(:two, ARRAY[:others, NULL]); :code
SELECT volguard.reconcile(:two, '{NULL}'); :code
SELECT volguard.reconcile(-1, '{}'); :code
\set VERBOSITY sqlstate
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :two;
SELECT volguard.reconcile(:two, '{}');
\set VERBOSITY default
SELECT count(*) FROM volguard.workers WHERE service_id = :two;
-- The mark is what refuses it.
BEGIN;
UPDATE volguard.services SET fenced_at = NULL WHERE service_id = :two;
SELECT volguard.reconcile(:two, '{}');
ROLLBACK;

-- An expired lease does not fence.
SELECT volguard.acquire(:one, 'volume', 'c-5') AS known, volguard.acquire(:one, 'volume', 'c-6') AS forgotten \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
SELECT volguard.reconcile(:one, ARRAY[:known]);

-- Work that it has claimed from a crashed service is not deleted: it goes back, unless it is in the list.
UPDATE volguard.workers SET crashed_service_id = -1 WHERE token = :known;
SELECT volguard.reconcile(:one, ARRAY[:known]);
BEGIN;
SELECT volguard.reconcile(:one, '{}');
SELECT service_id, crashed_service_id FROM volguard.workers WHERE cluster = 'recon' AND resource_id = 'c-5';
ROLLBACK;
UPDATE volguard.workers SET crashed_service_id = NULL WHERE token = :known;

BEGIN;
SELECT volguard.reconcile(:one, '{}');
ROLLBACK;
SELECT volguard.assert_held(:known);
BEGIN;
SELECT volguard.reconcile(:one, ARRAY[:known]) AS nothing;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.reconcile(:one, ARRAY[:known]);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.reconcile(:one, '{}');
COMMIT;
SELECT count(*) FROM volguard.workers WHERE service_id = :one;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();

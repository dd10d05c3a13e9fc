-- reset_resource: removes every lock and all work of a resource.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'reset') AS one, volguard.register_service('node-2', 'volume', 'reset') AS two, volguard.register_service('node-3', 'volume', 'reset-other') AS elsewhere \gset
SELECT volguard.acquire(:one, 'reset', 'r-1') AS plain, volguard.acquire(:two, 'reset', 'r-1', 'b', status => 'creating') AS work, volguard.acquire(:elsewhere, 'reset', 'r-1', 'c') AS elsewhere_token,
       volguard.acquire(:one, 'reset', 'r-2') AS other_id, volguard.acquire(:one, 'reset-too', 'r-1') AS other_type \gset

-- Each removed lock leaves an event; a call without effect leaves none.
SELECT volguard.reset_resource('reset', 'r-1');
SELECT volguard.reset_resource('reset', 'r-1');
SELECT kind, cluster, resource_type, resource_id, lock_name, service_id IN (:one, :two, :elsewhere) AS of_theirs, token IN (:plain, :work, :elsewhere_token) AS token, role = CURRENT_USER AS mine, details FROM volguard.event_log WHERE resource_type = 'reset' ORDER BY event_id;
SELECT resource_type, resource_id FROM volguard.workers WHERE resource_type LIKE 'reset%' ORDER BY 1, 2;
SELECT volguard.reset_resource(resource_type => 'reset', resource_id => 'never there'), volguard.reset_resource('no such type', 'r-1');
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:work);
\set VERBOSITY default
SELECT volguard.heartbeat(:one), volguard.acquire(:one, 'reset', 'r-1', status => 'deleting') > :work AS free;

SELECT volguard.reset_resource(NULL, 'r-1'); :code
SELECT volguard.reset_resource('reset', NULL); :code
SELECT volguard.reset_resource('', 'r-1'); :code
SELECT volguard.reset_resource('reset', ''); :code
SELECT volguard.reset_resource(repeat('t', 256), 'r-1'); :code
SELECT volguard.reset_resource('reset', repeat('r', 1025)); :code
SELECT resource_type, resource_id FROM volguard.workers WHERE resource_type LIKE 'reset%' ORDER BY 1, 2;

-- Locks of a fenced service, and of a service whose row is gone.
SELECT volguard.acquire(:two, 'reset', 'r-3') IS NOT NULL AS got, volguard.acquire(:elsewhere, 'reset', 'r-3', 'c') IS NOT NULL AS got;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :two;
DELETE FROM volguard.services WHERE service_id = :elsewhere;
SELECT volguard.reset_resource('reset', 'r-3');

BEGIN;
SELECT volguard.reset_resource('reset', 'r-2');
ROLLBACK;
SELECT volguard.assert_held(:other_id);
BEGIN;
SELECT volguard.reset_resource('reset', 'nothing'), pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.reset_resource('reset', 'r-2');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.reset_resource('reset', 'r-1'), volguard.reset_resource('reset-too', 'r-1');
COMMIT;
SELECT count(*) FROM volguard.workers WHERE resource_type LIKE 'reset%';

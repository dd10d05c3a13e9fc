-- fence_service: an operator declares a service dead.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'fence') AS one, volguard.register_service('node-2', 'volume', 'fence') AS two \gset
SELECT volguard.acquire(:one, 'fence', 'f-1') AS token, volguard.acquire(:one, 'fence', 'f-2', status => 'creating') AS work \gset
SELECT volguard.fence_service(service_id => :one, reason => 'node-1 is on fire');
-- Dead for ever.
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:one);
SELECT volguard.acquire(:one, 'fence', 'f-3');
SELECT volguard.assert_held(:token);
\set VERBOSITY default
SELECT volguard.release(:token);
SELECT kind, details - 'silent_seconds' AS details, role = CURRENT_USER AS mine, by_age FROM volguard.events WHERE service_id = :one ORDER BY event_id;
-- What it had is that of a dead service: free to the next who wants it, or to a cleanup.
SELECT volguard.acquire(:two, 'fence', 'f-1') > :token AS got;
SELECT state, awaiting FROM volguard.cleanup(service_id => :one);
-- Once. A service that never was is none either.
SELECT volguard.fence_service(:one, 'again'), volguard.fence_service(-1, 'never there');
SELECT count(*) FROM volguard.event_log WHERE service_id = :one AND kind = 'fenced';

SELECT volguard.fence_service(NULL, 'reason'); :code
SELECT volguard.fence_service(:two, NULL); :code
SELECT volguard.fence_service(:two, ''); :code
SELECT volguard.fence_service(:two, E'two\nlines'); :code
SELECT volguard.fence_service(:two, repeat('r', 256)); :code
BEGIN;
SELECT volguard.fence_service(:two, 'by mistake');
ROLLBACK;
SELECT volguard.heartbeat(:two);
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.fence_service(:two, 'serializable');
COMMIT;
SELECT host, state FROM volguard.service_status WHERE cluster = 'fence' ORDER BY host;
DELETE FROM volguard.workers WHERE resource_type = 'fence';

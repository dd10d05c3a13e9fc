-- set_status: the progress of the work under a lock, and its work slot.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'setst') AS one, volguard.register_service('node-2', 'volume', 'setst') AS two \gset
CREATE TEMP VIEW locks AS
SELECT objsubid, mode, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid() GROUP BY 1, 2;

-- From one status to the next: only the status and its time change.
SELECT volguard.acquire(:one, 'volume', 's-1', status => 'creating', details => '{"step": 1}') AS token \gset
SELECT volguard.set_status(:token, 'downloading');
SELECT volguard.set_status(token => :token, status => 'downloading');
SELECT token = :token AS same_token, status, updated_at > acquired_at AS later, details, service_id = :one AS mine FROM volguard.workers WHERE cluster = 'setst';
-- To a plain lock and back: the slot is given up and taken again.
SELECT volguard.set_status(:token, NULL);
SELECT volguard.acquire(:two, 'volume', 's-1', 'other', status => 'deleting') AS other \gset
SELECT lock_name, status FROM volguard.workers WHERE cluster = 'setst' ORDER BY lock_name;
\set VERBOSITY sqlstate
SELECT volguard.set_status(:token, 'creating');
\set VERBOSITY default
SELECT volguard.release(:other);
SELECT volguard.set_status(:token, 'creating');
SELECT lock_name, status FROM volguard.workers WHERE cluster = 'setst' ORDER BY lock_name;
-- The message names the resource.
SELECT volguard.acquire(:two, 'volume', 's-1', 'other') AS other \gset
SELECT volguard.set_status(:other, 'deleting'); :code
SELECT volguard.set_status(:other, NULL);

-- NULL, empty, too long.
SELECT volguard.set_status(NULL, 'creating'); :code
SELECT volguard.set_status(:token, ''); :code
SELECT volguard.set_status(:token, repeat('s', 256)); :code
SELECT volguard.set_status(:token, repeat('s', 255));
SELECT length(status) FROM volguard.workers WHERE token = :token;

-- The token holds nothing: unknown, released, fenced.
SELECT volguard.set_status(-1, 'creating'); :code
SELECT volguard.release(:other);
\set VERBOSITY sqlstate
SELECT volguard.set_status(:other, 'creating');
SELECT volguard.set_status(:other, NULL);
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :one;
SELECT volguard.set_status(:token, 'creating');
SELECT volguard.set_status(:token, NULL);
\set VERBOSITY default
SELECT length(status) AS unchanged FROM volguard.workers WHERE token = :token;
-- The mark is what refuses it.
BEGIN;
UPDATE volguard.services SET fenced_at = NULL WHERE service_id = :one;
SELECT volguard.set_status(:token, 'creating');
ROLLBACK;

-- An expired lease does not fence: the work goes on.
SELECT volguard.acquire(:two, 'volume', 's-2') AS token \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :two;
SELECT volguard.set_status(:token, 'creating');
SELECT volguard.heartbeat(:two);

-- A refusal leaves neither a row nor a lock; a success keeps the service
-- lock and the slot until the end of the transaction or savepoint.
SELECT volguard.acquire(:two, 'volume', 's-2', 'plain') AS plain \gset
BEGIN;
SELECT sum(n_tup_upd) AS upd FROM pg_stat_xact_all_tables WHERE schemaname = 'volguard' \gset
\set ON_ERROR_ROLLBACK on
\set VERBOSITY sqlstate
SELECT volguard.set_status(-1, 'creating');
SELECT volguard.set_status(:plain, 'creating');
\set VERBOSITY default
\set ON_ERROR_ROLLBACK off
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid, sum(n_tup_upd) - :upd AS upd FROM pg_stat_xact_all_tables WHERE schemaname = 'volguard';
SELECT * FROM locks;
SAVEPOINT before;
SELECT volguard.set_status(:token, NULL);
SELECT volguard.set_status(:plain, 'creating');
SELECT * FROM locks ORDER BY 1;
SELECT lock_name, status FROM volguard.workers WHERE resource_id = 's-2' ORDER BY 1;
ROLLBACK TO before;
SELECT * FROM locks;
COMMIT;
SELECT lock_name, status FROM volguard.workers WHERE resource_id = 's-2' ORDER BY 1;

-- Every isolation level works.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.set_status(:token, 'extending');
SELECT volguard.set_status(:token, 'creating');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.set_status(:token, NULL);
SELECT volguard.set_status(:plain, 'deleting');
COMMIT;
SELECT lock_name, status FROM volguard.workers WHERE resource_id = 's-2' ORDER BY 1;

-- With expected: only if the status is what the caller has read. A refusal writes nothing.
SELECT volguard.register_service('node-9', 'volume', 'expected') AS service \gset
SELECT volguard.acquire(:service, 'expected', 'e-1', status => 'copying') AS token, volguard.acquire(:service, 'expected', 'e-2') AS plain \gset
SELECT volguard.set_status(:token, 'wiping', expected => 'copying');
SELECT volguard.set_status(:token, 'wiping', expected => NULL);
BEGIN;
\set ON_ERROR_ROLLBACK on
\set VERBOSITY sqlstate
SELECT volguard.set_status(:token, 'syncing', expected => 'copying');
SELECT volguard.set_status(:token, NULL, 'copying');
SELECT volguard.set_status(:plain, 'syncing', 'copying');
SELECT volguard.set_status(-1, 'syncing', 'copying');
\set VERBOSITY default
\set ON_ERROR_ROLLBACK off
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;
SELECT resource_id, status FROM volguard.workers WHERE service_id = :service ORDER BY 1;
-- What it says.
CREATE FUNCTION pg_temp.refusal(token bigint, expected text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    PERFORM volguard.set_status(token, 'syncing', expected);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN replace(SQLERRM, token::text, 'N') || ' / ' || hint;
END
$$;
SELECT pg_temp.refusal(:token, 'copying');
SELECT pg_temp.refusal(:plain, 'copying');
SELECT volguard.set_status(:token, 'syncing', ''); \echo :LAST_ERROR_SQLSTATE
SELECT volguard.set_status(:token, NULL, 'wiping');
SELECT resource_id, status FROM volguard.workers WHERE service_id = :service ORDER BY 1;

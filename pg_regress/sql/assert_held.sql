-- assert_held: a fence for any transaction. specs/ show that it holds until the commit.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'assert') AS one, volguard.register_service('node-2', 'volume', 'assert') AS two \gset
CREATE TEMP VIEW locks AS
SELECT objsubid, mode, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid() GROUP BY 1, 2;

SELECT volguard.acquire(:one, 'volume', 'h-1') AS token, volguard.acquire(:one, 'volume', 'h-2', status => 'creating') AS work \gset
SELECT volguard.assert_held(:token);
SELECT volguard.assert_held(token => :work);
-- An expired lease does not fence yet.
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
SELECT volguard.assert_held(:token);

SELECT volguard.assert_held(NULL); :code
SELECT volguard.assert_held(-1); :code
-- A failed check aborts the transaction that relies on the token.
CREATE TEMP TABLE written (id integer);
SELECT volguard.release(:token) AS released;
\set VERBOSITY sqlstate
BEGIN;
INSERT INTO written VALUES (1);
SELECT volguard.assert_held(:token);
COMMIT;
SELECT count(*) FROM written;
-- A later acquisition by another service does not make the old token valid.
SELECT volguard.acquire(:two, 'volume', 'h-1') AS next \gset
SELECT volguard.assert_held(:token);
SELECT volguard.assert_held(:next);
-- Fenced: by a cleanup, by a new incarnation, by hand. The rows all still exist.
SELECT resource_id FROM volguard.workers WHERE cluster = 'assert' ORDER BY 1;
SELECT service_id = :one AS one, state, locks_released, awaiting FROM volguard.cleanup(service_id => :one);
SELECT service_id = :one AS one, state, locks_released, awaiting FROM volguard.cleanup(service_id => :one);
SELECT volguard.assert_held(:work);
SELECT volguard.register_service('node-2', 'volume', 'assert') AS three \gset
SELECT volguard.assert_held(:next);
SELECT volguard.acquire(:three, 'volume', 'h-3') AS token \gset
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :three;
SELECT volguard.assert_held(:token);
SELECT resource_id FROM volguard.workers WHERE cluster = 'assert' ORDER BY 1;
-- The mark is what refuses it.
UPDATE volguard.services SET fenced_at = NULL WHERE service_id = :three;
SELECT volguard.assert_held(:token);
\set VERBOSITY default

-- A failure takes no transaction id and leaves no lock; a success keeps the service lock and the row lock.
BEGIN;
\set ON_ERROR_ROLLBACK on
\set VERBOSITY sqlstate
SELECT volguard.assert_held(-1);
SELECT volguard.assert_held(:next);
\set VERBOSITY default
\set ON_ERROR_ROLLBACK off
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT * FROM locks;
SAVEPOINT before;
SELECT volguard.assert_held(:token);
SELECT * FROM locks;
ROLLBACK TO before;
SELECT * FROM locks;
SELECT volguard.assert_held(:token);
RELEASE before;
SELECT * FROM locks;
COMMIT;
SELECT * FROM locks;
-- The row lock has a mode that allows a change of the status and blocks a delete.
CREATE EXTENSION pgrowlocks;
BEGIN;
SELECT volguard.assert_held(:token);
SELECT modes FROM pgrowlocks('volguard.workers');
COMMIT;
DROP EXTENSION pgrowlocks;

-- Every isolation level works.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.assert_held(:token);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.assert_held(:token);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:next);
\set VERBOSITY default
ROLLBACK;

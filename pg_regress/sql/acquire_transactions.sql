-- acquire and its transaction: isolation levels, savepoints, and a refusal, which leaves nothing.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'acqtx') AS one, volguard.register_service('node-2', 'volume', 'acqtx') AS two \gset
-- volguard's own locks of this session: wait queues, service locks, names of services.
CREATE TEMP VIEW locks AS
SELECT objsubid, mode, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid() GROUP BY 1, 2;
CREATE TEMP VIEW writes AS
SELECT sum(n_tup_ins) AS ins, sum(n_tup_upd) AS upd, sum(n_tup_del) AS del FROM pg_stat_xact_all_tables WHERE schemaname = 'volguard';

-- A refusal writes nothing (no transaction id, no row, no dead row) and keeps no lock.
SELECT volguard.acquire(:one, 'acqtx-volume', 'taken', status => 'creating') IS NOT NULL AS got;
BEGIN;
SELECT * FROM writes \gset
SELECT volguard.acquire(:two, 'acqtx-volume', 'taken') AS at_once, volguard.acquire(:two, 'acqtx-volume', 'taken', wait => '10 ms') AS waited,
       volguard.acquire(:two, 'acqtx-volume', 'taken', 'other', status => 'deleting') AS slot, volguard.acquire(:two, 'acqtx-volume', 'taken', 'other', status => 'deleting', wait => '10 ms') AS slot_waited;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT ins - :ins AS ins, upd - :upd AS upd, del - :del AS del FROM writes;
SELECT * FROM locks;
-- The same views after an acquire that gets a lock.
SELECT volguard.acquire(:two, 'acqtx-volume', 'free') IS NOT NULL AS got;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT ins - :ins AS ins, upd - :upd AS upd, del - :del AS del FROM writes;
SELECT * FROM locks ORDER BY 1;
COMMIT;
SELECT * FROM locks;

-- A rolled back savepoint frees the lock, its wait queue and the service lock.
BEGIN;
SAVEPOINT before;
SELECT volguard.acquire(:one, 'acqtx-volume', 'saved', status => 'creating') IS NOT NULL AS got;
SELECT * FROM locks ORDER BY 1;
ROLLBACK TO before;
SELECT * FROM locks;
SELECT volguard.acquire(:two, 'acqtx-volume', 'saved') IS NOT NULL AS got;
RELEASE before;
SELECT * FROM locks ORDER BY 1;
COMMIT;
SELECT service_id = :two AS two FROM volguard.workers WHERE cluster = 'acqtx' AND resource_id = 'saved';
-- A released savepoint keeps them until the transaction ends; after a refusal a rollback has nothing to give back.
BEGIN;
SAVEPOINT before;
SELECT volguard.acquire(:one, 'acqtx-volume', 'kept') IS NOT NULL AS got;
RELEASE before;
SAVEPOINT refused;
SELECT volguard.acquire(:two, 'acqtx-volume', 'kept', wait => '5 ms') AS refused;
ROLLBACK TO refused;
SELECT * FROM locks ORDER BY 1;
ROLLBACK;
SELECT * FROM locks;
SELECT count(*) FROM volguard.workers WHERE cluster = 'acqtx' AND resource_id = 'kept';
-- An error inside an exception block does the same.
DO $$
BEGIN
    PERFORM volguard.acquire(service_id, 'volume', 'kept') FROM volguard.services WHERE cluster = 'acqtx' AND host = 'node-1';
    RAISE EXCEPTION 'of the user''s';
EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE '% locks, % rows', (SELECT count(*) FROM locks), (SELECT count(*) FROM volguard.workers WHERE cluster = 'acqtx' AND resource_id = 'kept');
END
$$;

-- The lock is taken and given back in one transaction, many times.
BEGIN;
SELECT count(DISTINCT token), bool_and(released) FROM (
    SELECT token, volguard.release(token) AS released FROM (
        SELECT volguard.acquire(:one, 'acqtx-volume', 'again') AS token FROM generate_series(1, 50) OFFSET 0) AS t OFFSET 0) AS u;
COMMIT;
-- Many keys in one statement.
SELECT count(volguard.acquire(:one, 'acqtx-volume', 'many-' || i)) FROM generate_series(1, 1000) AS i;
SELECT count(*), count(DISTINCT token) FROM volguard.workers WHERE cluster = 'acqtx' AND resource_id LIKE 'many-%';

-- Under REPEATABLE READ and SERIALIZABLE no call may wait; it reports that before it reads anything.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.acquire(:one, 'acqtx-volume', 'level', wait => '1 us'); :code
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.acquire(:one, 'acqtx-volume', 'level', wait => '1 min'); :code
ROLLBACK;
-- Without a wait these levels work like any other.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.acquire(:one, 'acqtx-volume', 'level') AS token \gset
SELECT volguard.acquire(:two, 'acqtx-volume', 'level') AS refused, volguard.acquire(:two, 'acqtx-volume', 'taken') AS refused;
SELECT volguard.release(:token);
SELECT volguard.acquire(:two, 'acqtx-volume', 'level') > :token AS got;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.acquire(:one, 'acqtx-volume', 'level-2') AS token \gset
SELECT volguard.acquire(:two, 'acqtx-volume', 'level-2') AS refused, volguard.acquire(:two, 'acqtx-volume', 'taken') AS refused;
SELECT volguard.release(:token);
SELECT volguard.acquire(:two, 'acqtx-volume', 'level-2') > :token AS got;
COMMIT;
BEGIN ISOLATION LEVEL READ UNCOMMITTED;
SELECT volguard.acquire(:two, 'acqtx-volume', 'taken', wait => '1 ms') AS refused;
COMMIT;
-- A refusal under SERIALIZABLE writes nothing either.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.acquire(:two, 'acqtx-volume', 'taken') AS refused;
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT * FROM locks;
COMMIT;

-- In a read-only transaction.
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT volguard.acquire(:two, 'acqtx-volume', 'read-only');
\set VERBOSITY default
ROLLBACK;
SELECT count(*) FROM volguard.workers WHERE cluster = 'acqtx' AND resource_id IN ('read-only', 'again');

-- The indexes forbid two tokens of a key, and two pieces of work on a resource: without them both inserts succeed.
BEGIN;
\set ON_ERROR_ROLLBACK on
\set VERBOSITY terse
PREPARE second (text, bigint, text) AS INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, status, acquired_at, updated_at)
VALUES ('acqtx', 'acqtx-volume', 'taken', $1, -$2, -1, $3, now(), now());
EXECUTE second('', 1, NULL);
EXECUTE second('other', 2, 'deleting');
ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey;
EXECUTE second('', 1, NULL);
DROP INDEX volguard.workers_work_key;
EXECUTE second('other', 2, 'deleting');
SELECT lock_name, status, count(*) FROM volguard.workers WHERE cluster = 'acqtx' AND resource_id = 'taken' GROUP BY 1, 2 ORDER BY 1, 2;
-- The index on tokens forbids a second row with the same token.
EXECUTE second('third', 2, NULL);
\set ON_ERROR_ROLLBACK off
\set VERBOSITY default
ROLLBACK;

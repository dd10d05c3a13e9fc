-- acquire_all: several locks or none, and every way of not getting
-- them. Conflicts with other sessions are tested in specs/.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'all') AS one, volguard.register_service('node-2', 'volume', 'all') AS two,
       volguard.register_service('node-6', 'volume', 'all-other') AS elsewhere \gset
-- Plain locks of volumes, by their ids.
CREATE FUNCTION pg_temp.volumes(VARIADIC ids text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('resource_type', 'all-volume', 'resource_id', id) ORDER BY position) FROM unnest(ids) WITH ORDINALITY AS v (id, position)
$$;
-- volguard's own locks of this session: wait queues, service locks, names of services.
CREATE TEMP VIEW locks AS
SELECT objsubid, mode, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid() GROUP BY 1, 2;
CREATE TEMP VIEW writes AS
SELECT sum(n_tup_ins) AS ins, sum(n_tup_upd) AS upd, sum(n_tup_del) AS del FROM pg_stat_xact_all_tables WHERE schemaname = 'volguard';
CREATE TEMP VIEW held AS
SELECT resource_type, resource_id, lock_name, status, details, service_id, token FROM volguard.workers WHERE cluster = 'all';

-- In the order of the list, each with its own token, and with every field that a lock can have.
CREATE TEMP TABLE got AS
SELECT * FROM volguard.acquire_all(service_id => :one, wait => '0', request_id => NULL, locks =>
    '[{"resource_type": "all-volume", "resource_id": "v-2"},
      {"resource_type": "all-volume", "resource_id": "v-1", "lock_name": "attach", "status": "attaching", "details": {"size": 1.50}},
      {"resource_type": "snapshot", "resource_id": "v-1", "lock_name": "", "status": null, "details": null},
      {"resource_type": "all-volume", "resource_id": "v-1", "details": [null]}]');
SELECT resource_type, resource_id, lock_name, token IN (SELECT h.token FROM held AS h) AS held, token > lag(token, 1, 0::bigint) OVER () AS larger FROM got;
SELECT resource_type, resource_id, lock_name, status, details, details IS NULL AS none, service_id = :one AS mine FROM held ORDER BY token;
SELECT count(*), count(DISTINCT acquired_at), bool_and(acquired_at = updated_at AND request_id IS NULL AND crashed_service_id IS NULL) AS new FROM volguard.workers WHERE cluster = 'all';
-- If one lock is taken, the call gets none, for any service and in any order. (No row, not even a row of NULLs.)
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('v-1', 'v-3'));
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('v-3', 'v-1'));
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('v-1', 'v-3'));
SELECT count(*) FROM held WHERE resource_id = 'v-3';
-- A single lock is a list of one. Another cluster has the same locks.
SELECT resource_id FROM volguard.acquire_all(:two, pg_temp.volumes('v-3'));
SELECT count(*) FROM volguard.acquire_all(:elsewhere, pg_temp.volumes('v-1', 'v-2', 'v-3'));
-- In a select list it is called once too.
SELECT (volguard.acquire_all(:two, pg_temp.volumes('v-4', 'v-5'))).resource_id;
-- Each verb accepts the tokens.
SELECT volguard.assert_held(token), volguard.set_status(token, 'deleting'), volguard.release(token) FROM held WHERE resource_id = 'v-5';
SELECT volguard.release_all(array_agg(token)) FROM held WHERE resource_id IN ('v-3', 'v-4');
-- A key that is taken again has a larger token.
SELECT token AS earlier FROM held WHERE resource_id = 'v-2' \gset
SELECT volguard.release(:earlier);
SELECT bool_and(token > :earlier) AS larger FROM volguard.acquire_all(:two, pg_temp.volumes('v-3', 'v-2'));

-- A status takes the work slot of its resource, whatever the name of the lock. Plain locks are not affected.
SELECT * FROM volguard.acquire_all(:two, '[{"resource_type": "all-volume", "resource_id": "v-9"}, {"resource_type": "all-volume", "resource_id": "v-1", "lock_name": "other", "status": "deleting"}]');
SELECT resource_id, lock_name FROM volguard.acquire_all(:two, '[{"resource_type": "all-volume", "resource_id": "v-9"}, {"resource_type": "all-volume", "resource_id": "v-1", "lock_name": "other"}]');
SELECT volguard.acquire(:two, 'all-volume', 'v-1', 'third', status => 'deleting') AS slot_taken;
SELECT resource_id, lock_name, status FROM held WHERE service_id = :two ORDER BY token;

-- A refusal writes nothing (no transaction id, no row, no dead row) and keeps no lock.
BEGIN;
SELECT * FROM writes \gset
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('v-1', 'v-6', 'v-7'));
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('v-6', 'v-7', 'v-1'), wait => '10 ms');
SELECT * FROM volguard.acquire_all(:two, '[{"resource_type": "all-volume", "resource_id": "v-6"}, {"resource_type": "all-volume", "resource_id": "v-1", "lock_name": "slot", "status": "deleting"}]', wait => '10 ms');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT ins - :ins AS ins, upd - :upd AS upd, del - :del AS del FROM writes;
SELECT * FROM locks;
-- The same views after a call that gets a lock.
SELECT count(*) FROM volguard.acquire_all(:two, '[{"resource_type": "all-volume", "resource_id": "v-6"}, {"resource_type": "all-volume", "resource_id": "v-7", "status": "deleting"}]');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT ins - :ins AS ins, upd - :upd AS upd, del - :del AS del FROM writes;
SELECT * FROM locks ORDER BY 1;
-- A later refusal gives back only what it took itself.
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('v-6', 'v-8'), wait => '5 ms');
SELECT * FROM locks ORDER BY 1;
ROLLBACK;
SELECT * FROM locks;
SELECT count(*) FROM held WHERE resource_id IN ('v-6', 'v-7', 'v-8');

-- The same request again returns the same tokens, in the order of this call, whatever its other arguments are.
SELECT array_agg(token) AS tokens FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000001') \gset
SELECT array_agg(token) = :'tokens' AS same FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000001');
SELECT array_agg(token) = (SELECT array_agg(t ORDER BY t DESC) FROM unnest(:'tokens'::bigint[]) AS t) AS same
FROM volguard.acquire_all(:one, (SELECT jsonb_agg(l || '{"status": "creating"}' ORDER BY l DESC) FROM jsonb_array_elements(pg_temp.volumes('r-1', 'r-2', 'r-3')) AS l), wait => '1 min', request_id => '00000000-0000-0000-0000-000000000001');
SELECT count(*), bool_and(status IS NULL) AS as_it_was FROM held WHERE resource_id LIKE 'r-%';
-- The call asks for some of the locks of the request, and all of these are held.
SELECT array_agg(token) = (:'tokens'::bigint[])[2:3] AS same FROM volguard.acquire_all(:one, pg_temp.volumes('r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000001');
SELECT volguard.acquire(:one, 'all-volume', 'r-2', request_id => '00000000-0000-0000-0000-000000000001') = (:'tokens'::bigint[])[2] AS same;
-- The request holds some of the locks and not the others: neither all nor none, whether the others are free or not.
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('r-4', 'r-1'), request_id => '00000000-0000-0000-0000-000000000001'); :code
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'v-1'), wait => '1 min', request_id => '00000000-0000-0000-0000-000000000001'); :code
SELECT count(*) FROM held WHERE resource_id LIKE 'r-%';
-- Another request, no request, or the request of another service is refused as usual. Other keys are other locks.
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000002');
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'r-2', 'r-3'));
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('r-1', 'r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000001');
SELECT count(*) FROM volguard.acquire_all(:one, pg_temp.volumes('r-5', 'r-6'), request_id => '00000000-0000-0000-0000-000000000001');
-- After a release the same request is a new acquisition; after a release of some locks it is neither.
SELECT volguard.release((:'tokens'::bigint[])[1]);
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000001'); :code
SELECT volguard.release_all(:'tokens');
SELECT bool_and(token > all(:'tokens'::bigint[])) AS new FROM volguard.acquire_all(:one, pg_temp.volumes('r-1', 'r-2', 'r-3'), request_id => '00000000-0000-0000-0000-000000000001');

-- NULL for each argument: the last one may be NULL.
SELECT * FROM volguard.acquire_all(NULL, pg_temp.volumes('n')); :code
SELECT * FROM volguard.acquire_all(:one, NULL); :code
SELECT count(*) FROM volguard.acquire_all(:one, pg_temp.volumes('null'), wait => NULL, request_id => NULL);

-- A value that is not a list, or an empty list: no row would tell that something was taken.
SELECT * FROM volguard.acquire_all(:one, '[]'); :code
SELECT * FROM volguard.acquire_all(:one, 'null'); :code
SELECT * FROM volguard.acquire_all(:one, '{"resource_type": "all-volume", "resource_id": "n"}'); :code
SELECT * FROM volguard.acquire_all(:one, '"volume"'); :code
-- Entries that are not a lock.
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n') || '[null]'); :code
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n') || '[["volume", "n"]]'); :code
SELECT * FROM volguard.acquire_all(:one, '[{}]'); :code
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume"}]'); :code
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": 17}]'); :code
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": null, "resource_id": "n"}]'); :code
SELECT lock_name FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": "nameless", "lock_name": null}]');
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": "n", "status": true}]'); :code
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": "n", "name": "x"}]'); :code
-- Names: empty, too long, and of the maximum length. The empty lock name is the default lock of the resource.
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "", "resource_id": "n"}]'); :code
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n', '')); :code
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": "n", "status": ""}]'); :code
SELECT * FROM volguard.acquire_all(:one, jsonb_build_array(jsonb_build_object('resource_type', repeat('t', 256), 'resource_id', 'n'))); :code
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n', repeat('r', 1025))); :code
SELECT * FROM volguard.acquire_all(:one, jsonb_build_array(jsonb_build_object('resource_type', 'all-volume', 'resource_id', 'n', 'lock_name', repeat('l', 256)))); :code
SELECT * FROM volguard.acquire_all(:one, jsonb_build_array(jsonb_build_object('resource_type', 'all-volume', 'resource_id', 'n', 'status', repeat('s', 256)))); :code
SELECT count(*) FROM volguard.acquire_all(:one, jsonb_build_array(jsonb_build_object('resource_type', repeat('u', 255), 'resource_id', (SELECT left(string_agg(md5(i::text), ''), 1024) FROM generate_series(1, 40) AS i),
    'lock_name', repeat('l', 255), 'status', repeat('s', 255))));
-- The same lock twice, or two locks that need one work slot, can never be got.
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n', 'm', 'n')); :code
SELECT * FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": "n", "lock_name": "a", "status": "s"}, {"resource_type": "all-volume", "resource_id": "n", "lock_name": "b", "status": "s"}]'); :code
SELECT count(*) FROM volguard.acquire_all(:one, '[{"resource_type": "all-volume", "resource_id": "s", "lock_name": "a", "status": "s"}, {"resource_type": "all-volume", "resource_id": "s", "lock_name": "b"},
    {"resource_type": "snapshot", "resource_id": "s", "lock_name": "a", "status": "s"}]');
-- Details may nest to the depth that the reader accepts; deeper input is an error, not a panic.
SELECT count(*) FROM volguard.acquire_all(:one, jsonb_build_array(jsonb_build_object('resource_type', 'all-volume', 'resource_id', 'deep', 'details', (repeat('[', 100) || repeat(']', 100))::jsonb)));
SELECT * FROM volguard.acquire_all(:one, jsonb_build_array(jsonb_build_object('resource_type', 'all-volume', 'resource_id', 'n', 'details', (repeat('[', 1000) || repeat(']', 1000))::jsonb))); :code

-- A thousand locks are one statement. Far more locks than the
-- server's lock table can hold are refused before anything is locked.
CREATE FUNCTION pg_temp.many(count integer, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('resource_type', 'all-volume', 'resource_id', 'many-' || i) || more) FROM generate_series(1, count) AS i
$$;
BEGIN;
SELECT count(*), count(DISTINCT token), bool_and(token > 0) FROM volguard.acquire_all(:one, pg_temp.many(1000, '{"status": "creating"}'));
SELECT * FROM locks ORDER BY 1;
SELECT volguard.release_all(array_agg(token)) FROM held WHERE resource_id LIKE 'many-%';
COMMIT;
SELECT * FROM volguard.acquire_all(:one, pg_temp.many(999) || pg_temp.volumes('v-1'), wait => '5 ms');
SELECT count(*) FROM held WHERE resource_id LIKE 'many-%';
\set VERBOSITY sqlstate
SELECT * FROM volguard.acquire_all(:one, pg_temp.many(100000));
SELECT * FROM volguard.acquire_all(:one, pg_temp.many(current_setting('max_locks_per_transaction')::integer * current_setting('max_connections')::integer / 2 + 1));
SELECT * FROM volguard.acquire_all(:one, pg_temp.many(current_setting('max_locks_per_transaction')::integer * current_setting('max_connections')::integer / 4 + 1, '{"status": "creating"}'));
\set VERBOSITY default

-- A wait must be finite and not negative; without success it takes its time, and no longer.
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n'), wait => '-1 ms'); :code
SELECT clock_timestamp() AS started \gset
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('n', 'v-1'), wait => '300 ms');
SELECT clock_timestamp() - :'started' BETWEEN '300 ms' AND '20 s' AS in_time;
-- The caller's own lock_timeout, and a cancel. (The place where it hits, and so the context of the report, is random.)
SET lock_timeout = '100 ms';
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('n', 'v-1'), wait => '1 min'); :code
RESET lock_timeout;
\set VERBOSITY terse
SET statement_timeout = '100 ms';
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('n', 'v-1'), wait => '1 min'); :code
RESET statement_timeout;
\set VERBOSITY default
SELECT * FROM locks;

-- Under REPEATABLE READ and SERIALIZABLE no call may wait; without a wait these levels work like any other.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('n'), wait => '1 us'); :code
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT array_agg(token) AS tokens FROM volguard.acquire_all(:one, pg_temp.volumes('level-1', 'level-2')) \gset
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('level-2', 'level-3'));
SELECT volguard.release_all(:'tokens');
SELECT bool_and(token > all(:'tokens'::bigint[])) AS got FROM volguard.acquire_all(:two, pg_temp.volumes('level-2', 'level-3'));
COMMIT;
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT * FROM volguard.acquire_all(:two, pg_temp.volumes('read-only'));
\set VERBOSITY default
ROLLBACK;
-- A rolled back savepoint frees the locks, their wait queues and the service lock.
BEGIN;
SAVEPOINT before;
SELECT count(*) FROM volguard.acquire_all(:one, pg_temp.volumes('saved-1', 'saved-2'));
ROLLBACK TO before;
SELECT * FROM locks;
SELECT count(*) FROM volguard.acquire_all(:two, pg_temp.volumes('saved-2', 'saved-1'));
COMMIT;
SELECT DISTINCT service_id = :two AS two FROM held WHERE resource_id LIKE 'saved-%';

-- After the sequence was set back, a token that is in use raises an error, and no lock is taken.
-- Some seconds ahead of the clock, by which it is not moved.
SELECT last_value + (10::bigint << 22) AS ahead FROM volguard.clock \gset
BEGIN;
DELETE FROM volguard.workers WHERE cluster = 'all';
ALTER SEQUENCE volguard.clock RESTART :ahead;
SELECT volguard.acquire(:one, 'all-volume', 'in-use') AS token \gset
SELECT setval('volguard.clock', :token - 3) = :token - 3 AS set_back;
\set VERBOSITY sqlstate
SELECT * FROM volguard.acquire_all(:one, pg_temp.volumes('c-1', 'c-2', 'c-3', 'c-4'));
\set VERBOSITY default
ROLLBACK;
SELECT count(*) FROM held WHERE resource_id LIKE 'c-%';

-- A service that is unknown, fenced, or whose lease is over.
SELECT * FROM volguard.acquire_all(-1, pg_temp.volumes('n')); :code
SELECT volguard.register_service('node-3', 'volume', 'all') AS fenced \gset
SELECT count(*) FROM volguard.acquire_all(:fenced, pg_temp.volumes('f-1', 'f-2'), request_id => '00000000-0000-0000-0000-00000000000f');
SELECT volguard.register_service('node-3', 'volume', 'all') AS late \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :late;
\set VERBOSITY sqlstate
SELECT * FROM volguard.acquire_all(:fenced, pg_temp.volumes('n'));
SELECT * FROM volguard.acquire_all(:fenced, pg_temp.volumes('n', 'v-1'), wait => '1 min');
SELECT * FROM volguard.acquire_all(:fenced, pg_temp.volumes('f-1', 'f-2'), request_id => '00000000-0000-0000-0000-00000000000f');
SELECT * FROM volguard.acquire_all(:late, pg_temp.volumes('n'));
SELECT * FROM volguard.acquire_all(:late, pg_temp.volumes('n', 'v-1'), wait => '1 min');
\set VERBOSITY default

-- No refused call has left a row.
SELECT count(*) FROM held WHERE resource_id IN ('n', 'm', '');

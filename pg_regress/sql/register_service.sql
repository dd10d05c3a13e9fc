-- register_service: a new incarnation, and the end of the earlier one.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'backup', 'reg', '90 s', '{"version": 3}') AS first \gset
SELECT service_id = :first AS same_id, cluster, host, binary_name, lease, fenced_at, registered_by = CURRENT_USER AS mine, owner = CURRENT_USER AS my_cluster, details,
       heartbeat_at BETWEEN now() - interval '1 min' AND clock_timestamp() AS just_now, heartbeat_at >= registered_at AS in_order
FROM volguard.services WHERE cluster = 'reg';
SELECT name, disabled, disabled_reason FROM volguard.clusters WHERE name = 'reg';

-- The same name again is a new row with a larger id; the earlier incarnation is dead at once, whatever its lease.
SELECT volguard.acquire(:first, 'volume', 'reg-1') IS NOT NULL AS got;
SELECT volguard.register_service(host => 'node-1', binary_name => 'backup', cluster => 'reg') AS second \gset
SELECT :second > :first AS larger;
SELECT service_id = :second AS newest, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'reg' ORDER BY service_id;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:first);
SELECT volguard.acquire(:first, 'volume', 'reg-2');
\set VERBOSITY default
-- What it held waits for a cleanup; it doesn't pass to the new incarnation.
SELECT service_id = :first AS of_the_first, alive FROM volguard.lock_status WHERE cluster = 'reg';
-- A third incarnation does the same, also when the lease of the second is over.
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 day' WHERE service_id = :second;
SELECT volguard.register_service('node-1', 'backup', 'reg') AS third \gset
SELECT service_id = :third AS newest, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'reg' ORDER BY service_id;

-- Another host or binary is another service. Another cluster is not: a process that restarts in it is the same one.
SELECT volguard.register_service('node-2', 'backup', 'reg') > :third AS host,
       volguard.register_service('node-1', 'volume', 'reg') > :third AS binary_name,
       volguard.register_service('node-9', 'backup', 'reg-other') AS elsewhere \gset
SELECT volguard.register_service('node-9', 'backup', 'reg') > :elsewhere AS moved;
SELECT cluster, host, binary_name FROM volguard.services WHERE cluster LIKE 'reg%' AND fenced_at IS NULL ORDER BY 1, 2, 3;

-- NULL for each argument. Names are required; without a cluster the
-- service joins the one named default, and the lease has a setting.
SELECT volguard.register_service(NULL, 'backup', 'reg-null'); :code
SELECT volguard.register_service('node-1', NULL, 'reg-null'); :code
SET volguard.service_down_time = '7 s';
SELECT volguard.register_service('reg-null', 'backup', cluster => NULL, lease => NULL, details => NULL) AS plain \gset
RESET volguard.service_down_time;
SELECT cluster, lease, details FROM volguard.services WHERE service_id = :plain;
-- Details may nest as deep as jsonb allows.
SELECT volguard.register_service('reg-deep', 'backup', details => (repeat('[', 1000) || repeat(']', 1000))::jsonb) IS NOT NULL AS registered;

-- Names that are empty and too long. The limit is in bytes; a name of the maximum length is accepted.
SELECT volguard.register_service('', 'backup', 'reg-bad'); :code
SELECT volguard.register_service('node-1', '', 'reg-bad'); :code
SELECT volguard.register_service('node-1', 'backup', ''); :code
SELECT volguard.register_service(repeat('h', 256), 'backup', 'reg-bad'); :code
SELECT volguard.register_service('node-1', repeat('b', 256), 'reg-bad'); :code
SELECT volguard.register_service('node-1', 'backup', repeat('c', 256)); :code
SELECT volguard.register_service(repeat('ü', 128), 'backup', 'reg-bad'); :code
SELECT volguard.register_service(repeat('h', 255), repeat('b', 255), 'reg-' || repeat('c', 251)) IS NOT NULL AS longest;
SELECT volguard.register_service(E'it''s; "quoted" \\', 'backup', 'reg ✓') AS odd \gset
SELECT host = E'it''s; "quoted" \\' AS kept, cluster FROM volguard.services WHERE service_id = :odd;

-- Control characters would forge lines of the log, and what is on a screen.
SELECT volguard.register_service(E'node-1\nLOG:  forged', 'backup', 'reg-bad'); :code
SELECT volguard.register_service('node-1', E'backup\x1b[2J', 'reg-bad'); :code
SELECT volguard.register_service('node-1', 'backup', E'reg-bad\x7f'); :code
SELECT volguard.register_service('node-1', 'backup', U&'reg-bad\0085'); :code
SELECT volguard.register_service('node-1', 'backup', U&'reg-bad\2028'); :code
SELECT volguard.register_service(U&'\202Enode-1', 'backup', 'reg-bad'); :code

-- A lease consists of hours, minutes and seconds: how long a day or a month is depends on the calendar. It has at least
-- 100 ms, and at most a year.
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '0'); :code
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '-1 s'); :code
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '99 ms'); :code
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '8784 hours 1 us'); :code
\set VERBOSITY sqlstate
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '1 day');
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '-1 day +25 hours');
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '1 mon -30 days 1 s');
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '294000 years -105840000 days 1 s');
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807');
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '300000 years');
-- Nor can an administrator set another one.
UPDATE volguard.services SET lease = '1 day' WHERE cluster = 'reg';
UPDATE volguard.services SET lease = '1 mon -30 days 1 s' WHERE cluster = 'reg';
UPDATE volguard.services SET lease = '99 ms' WHERE cluster = 'reg';
\set VERBOSITY default
SELECT volguard.register_service('node-11', 'backup', 'reg-long', '100 ms') IS NOT NULL AS shortest,
       volguard.register_service('node-10', 'backup', 'reg-long', '8784 hours') IS NOT NULL AS longest;

-- A read-only transaction.
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT volguard.register_service('node-1', 'backup', 'reg-bad');
\set VERBOSITY default
ROLLBACK;

-- No refused call has left a service or its cluster.
SELECT count(*) FROM volguard.services WHERE cluster IN ('reg-null', 'reg-bad', '', repeat('c', 256));
SELECT count(*) FROM volguard.clusters WHERE name IN ('reg-null', 'reg-bad', '', repeat('c', 256));

-- After a rollback the new incarnation never existed, and the earlier one lives.
BEGIN;
SELECT volguard.register_service('node-1', 'backup', 'reg') > :third AS registered;
ROLLBACK;
SELECT volguard.heartbeat(:third);

-- At every isolation level; specs/register-meets-register.spec covers old snapshots.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.register_service('node-12', 'backup', 'reg-levels') > 0 AS registered;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.register_service('node-12', 'backup', 'reg-levels') > 0 AS registered;
COMMIT;
SELECT fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'reg-levels' ORDER BY service_id;

-- The index forbids two live incarnations, whatever their clusters: without it the second insert succeeds.
BEGIN;
INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, registered_by) VALUES (-1, 'reg-other', 'node-1', 'backup', '1 min', CURRENT_USER);
ROLLBACK;
BEGIN;
DROP INDEX volguard.services_identity_key;
INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, registered_by) VALUES (-1, 'reg-other', 'node-1', 'backup', '1 min', CURRENT_USER);
SELECT count(*) FROM volguard.services WHERE (owner, host, binary_name) = (CURRENT_USER, 'node-1', 'backup') AND fenced_at IS NULL;
ROLLBACK;

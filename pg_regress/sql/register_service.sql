-- register_service: a new incarnation, and the end of the earlier one.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'backup', 'reg', '90 s', '{"version": 3}') AS first \gset
SELECT service_id = :first AS same_id, cluster, host, binary_name, lease, fenced_at, registered_by = CURRENT_USER::regrole AS mine, details,
       heartbeat_at BETWEEN now() - interval '1 min' AND clock_timestamp() AS just_now, heartbeat_at >= registered_at AS in_order
FROM volguard.services WHERE cluster = 'reg';
SELECT name, disabled, disabled_reason FROM volguard.clusters WHERE name = 'reg';

-- The same name again is a new row with a larger id; the earlier incarnation is dead at once, its lease notwithstanding.
SELECT volguard.acquire(:first, 'volume', 'reg-1') IS NOT NULL AS got;
SELECT volguard.register_service(host => 'node-1', binary_name => 'backup', cluster => 'reg') AS second \gset
SELECT :second > :first AS larger;
SELECT service_id = :second AS newest, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'reg' ORDER BY service_id;
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:first);
SELECT volguard.acquire(:first, 'volume', 'reg-2');
\set VERBOSITY default
-- What it held waits for a cleanup; it isn't the new incarnation's.
SELECT service_id = :first AS of_the_first, alive FROM volguard.lock_status WHERE cluster = 'reg';
-- So is a third, also when the second's lease is over.
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 day' WHERE service_id = :second;
SELECT volguard.register_service('node-1', 'backup', 'reg') AS third \gset
SELECT service_id = :third AS newest, fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'reg' ORDER BY service_id;

-- Another host, binary or cluster is another service.
SELECT volguard.register_service('node-2', 'backup', 'reg') > :third AS host,
       volguard.register_service('node-1', 'volume', 'reg') > :third AS binary_name,
       volguard.register_service('node-1', 'backup', 'reg-other') > :third AS cluster;
SELECT cluster, host, binary_name FROM volguard.services WHERE cluster LIKE 'reg%' AND fenced_at IS NULL ORDER BY 1, 2, 3;

-- NULL, argument by argument. Names are needed; without a cluster it joins the one named default, and the lease has a setting.
SELECT volguard.register_service(NULL, 'backup', 'reg-null'); :code
SELECT volguard.register_service('node-1', NULL, 'reg-null'); :code
SET volguard.service_down_time = '7 s';
SELECT volguard.register_service('reg-null', 'backup', cluster => NULL, lease => NULL, details => NULL) AS plain \gset
RESET volguard.service_down_time;
SELECT cluster, lease, details FROM volguard.services WHERE service_id = :plain;
-- Details nest as deep as jsonb does.
SELECT volguard.register_service('reg-deep', 'backup', details => (repeat('[', 1000) || repeat(']', 1000))::jsonb) IS NOT NULL AS registered;

-- Empty and over-long names. The limit is in bytes; what is just short enough is taken as it is.
SELECT volguard.register_service('', 'backup', 'reg-bad'); :code
SELECT volguard.register_service('node-1', '', 'reg-bad'); :code
SELECT volguard.register_service('node-1', 'backup', ''); :code
SELECT volguard.register_service(repeat('h', 256), 'backup', 'reg-bad'); :code
SELECT volguard.register_service('node-1', repeat('b', 256), 'reg-bad'); :code
SELECT volguard.register_service('node-1', 'backup', repeat('c', 256)); :code
SELECT volguard.register_service(repeat('ü', 128), 'backup', 'reg-bad'); :code
SELECT volguard.register_service(repeat('h', 255), repeat('b', 255), 'reg-' || repeat('c', 251)) IS NOT NULL AS longest;
SELECT volguard.register_service(E'it''s; "quoted" \\ \t', 'backup', 'reg ✓') AS odd \gset
SELECT host = E'it''s; "quoted" \\ \t' AS kept, cluster FROM volguard.services WHERE service_id = :odd;

-- A lease must be positive, end, and leave the end of every lease a time that Postgres can tell.
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '0'); :code
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '-1 s'); :code
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '-1 day +23 hours'); :code
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807'); :code
\set VERBOSITY sqlstate
SELECT volguard.register_service('node-1', 'backup', 'reg-bad', '300000 years');
\set VERBOSITY default

-- A transaction that may not write.
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT volguard.register_service('node-1', 'backup', 'reg-bad');
\set VERBOSITY default
ROLLBACK;

-- None of the refused left anything, neither a service nor its cluster.
SELECT count(*) FROM volguard.services WHERE cluster IN ('reg-null', 'reg-bad', '', repeat('c', 256));
SELECT count(*) FROM volguard.clusters WHERE name IN ('reg-null', 'reg-bad', '', repeat('c', 256));

-- Rolled back, the new incarnation never was, and the earlier one lives.
BEGIN;
SELECT volguard.register_service('node-1', 'backup', 'reg') > :third AS registered;
ROLLBACK;
SELECT volguard.heartbeat(:third);

-- At every isolation level; specs/register-meets-register.spec has the case of an old snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.register_service('node-1', 'backup', 'reg-levels') > 0 AS registered;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.register_service('node-1', 'backup', 'reg-levels') > 0 AS registered;
COMMIT;
SELECT fenced_at IS NULL AS live FROM volguard.services WHERE cluster = 'reg-levels' ORDER BY service_id;

-- The index is what forbids two live incarnations: without it a second row gets in.
BEGIN;
INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, registered_by) VALUES (-1, 'reg', 'node-1', 'backup', '1 min', CURRENT_USER::regrole);
ROLLBACK;
BEGIN;
DROP INDEX volguard.services_incarnation_key;
INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, registered_by) VALUES (-1, 'reg', 'node-1', 'backup', '1 min', CURRENT_USER::regrole);
SELECT count(*) FROM volguard.services WHERE (cluster, host, binary_name) = ('reg', 'node-1', 'backup') AND fenced_at IS NULL;
ROLLBACK;

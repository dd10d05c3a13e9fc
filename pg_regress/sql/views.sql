-- The views for people: locks and their holders, the state of services, the state of clusters.
SELECT volguard.register_service('node-1', 'volume', 'views', '90 s', '{"zone": "a"}') AS up, volguard.register_service('node-2', 'volume', 'views') AS down, volguard.register_service('node-3', 'backup', 'views') AS fenced \gset
SELECT volguard.acquire(:up, 'views', 'v-1', 'attach', 'creating', request_id => '00000000-0000-0000-0000-000000000001', details => '{"step": 1}') AS token,
       volguard.acquire(:up, 'views', 'v-2') IS NOT NULL AS got, volguard.acquire(:down, 'views', 'v-3') IS NOT NULL AS got, volguard.acquire(:fenced, 'views', 'v-4') IS NOT NULL AS got \gset
UPDATE volguard.services SET heartbeat_at = now() - interval '1 hour' WHERE service_id = :down;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :fenced;

-- Their columns are a contract.
SELECT attrelid::regclass AS view, string_agg(attname || ' ' || format_type(atttypid, NULL), ', ' ORDER BY attnum) AS columns
FROM pg_attribute WHERE attrelid IN ('volguard.lock_status'::regclass, 'volguard.service_status'::regclass, 'volguard.cluster_status'::regclass, 'volguard.waiters'::regclass, 'volguard.event_log'::regclass) AND attnum > 0 GROUP BY 1 ORDER BY attrelid::regclass::text;

SELECT cluster, resource_type, resource_id, lock_name, token = :token AS token, status, service_id = :up AS of_the_first, host, binary_name, alive FROM volguard.lock_status WHERE cluster = 'views' ORDER BY resource_id;
SELECT held_for >= '0' AND held_for < '1 hour' AS held_for, acquired_at <= updated_at AS in_order, request_id, details FROM volguard.lock_status WHERE token = :token;
SELECT volguard.set_status(:token, 'downloading');
SELECT status, acquired_at < updated_at AS later FROM volguard.lock_status WHERE token = :token;
-- A row whose service is gone has no owner, and is still shown.
BEGIN;
DELETE FROM volguard.services WHERE service_id = :fenced;
SELECT resource_id, host, alive FROM volguard.lock_status WHERE cluster = 'views' AND host IS NULL;
ROLLBACK;

SELECT cluster, host, binary_name, state, lease, fenced_at IS NOT NULL AS fenced, held_locks, registered_by = CURRENT_USER AS mine, details FROM volguard.service_status WHERE cluster = 'views' ORDER BY host;
SELECT host, silent_for >= '0' AS positive, date_trunc('second', silent_for) = silent_for AS whole_seconds, silent_for > '59 min' AS long, heartbeat_at >= registered_at AS in_order FROM volguard.service_status WHERE cluster = 'views' ORDER BY host;
-- A service is down when its lease is over, at the moment of the query and not at the start of the transaction.
BEGIN;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease WHERE service_id = :up;
SELECT state FROM volguard.service_status WHERE service_id = :up;
SELECT alive FROM volguard.lock_status WHERE token = :token;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease + '1 min' WHERE service_id = :up;
SELECT state FROM volguard.service_status WHERE service_id = :up;
ROLLBACK;

SELECT cluster, state, services, services_up, services_down, held_locks, disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'views';
SELECT last_heartbeat = (SELECT max(heartbeat_at) FROM volguard.services WHERE cluster = 'views') AS last_heartbeat FROM volguard.cluster_status WHERE cluster = 'views';
-- A cluster is up by the heartbeat of any one service.
BEGIN;
UPDATE volguard.services SET heartbeat_at = now() - interval '1 hour' WHERE cluster = 'views';
SELECT state, services_up FROM volguard.cluster_status WHERE cluster = 'views';
SELECT volguard.heartbeat(:down);
SELECT state, services_up FROM volguard.cluster_status WHERE cluster = 'views';
ROLLBACK;
-- It is down without a service that is up, and without any service.
BEGIN;
UPDATE volguard.services SET heartbeat_at = now() - interval '1 hour' WHERE cluster = 'views';
SELECT state, services, services_up, services_down FROM volguard.cluster_status WHERE cluster = 'views';
DELETE FROM volguard.services WHERE cluster = 'views';
UPDATE volguard.clusters SET disabled = true, disabled_reason = 'moving' WHERE name = 'views';
SELECT state, services, services_up, services_down, held_locks, last_heartbeat, disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'views';
ROLLBACK;

-- What people look for first stands within 100 columns of psql.
SELECT c.oid::regclass AS view, string_agg(attname, ' ' ORDER BY attnum) FILTER (WHERE width <= 100) AS at_first_sight
FROM pg_class AS c JOIN LATERAL (
    SELECT attname, attnum, sum(greatest(length(attname), CASE attname WHEN 'cluster' THEN 12 WHEN 'pid' THEN 7 ELSE 8 END) + 3) OVER (ORDER BY attnum) AS width
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS a ON true
WHERE relnamespace = 'volguard'::regnamespace AND relkind = 'v' AND relname IN ('lock_status', 'service_status', 'cluster_status', 'waiters') GROUP BY c.oid ORDER BY c.oid::regclass::text;

-- Every column of a table, a view and a type has a comment, and so has every one of them, and every function.
SELECT c.oid::regclass || coalesce('.' || attname, '') AS without_comment
FROM pg_class AS c LEFT JOIN pg_attribute AS a ON attrelid = c.oid AND attnum > 0 AND relkind <> 'S' AND NOT attisdropped
WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'v', 'S', 'c') AND col_description(c.oid, attnum) IS NULL AND (relkind <> 'S' OR obj_description(c.oid, 'pg_class') IS NULL)
UNION ALL
SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'v', 'S') AND obj_description(oid, 'pg_class') IS NULL
UNION ALL
SELECT oid::regtype::text FROM pg_type WHERE typnamespace = 'volguard'::regnamespace AND typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c') AND obj_description(oid, 'pg_type') IS NULL
UNION ALL
SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL;

-- Of calls that wait the tests with several sessions tell; here is none.
SELECT count(*) FROM volguard.waiters;
-- The number of a queue, as pg_locks has it.
BEGIN;
SELECT volguard.acquire(:up, 'views', 'v-9', 'x', 'busy') IS NOT NULL AS got;
SELECT objsubid, mode FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint IN (volguard.wait_queue('views', 'v-9', 'x'), volguard.wait_queue('views', 'v-9', NULL)) ORDER BY 1;
ROLLBACK;
SELECT volguard.wait_queue(NULL, 'v-9') IS NULL AS no_type, volguard.wait_queue('views', NULL) IS NULL AS no_id, volguard.wait_queue('views', 'v-9') = volguard.wait_queue('views', 'v-9', '') AS same, volguard.wait_queue('views', 'v-9') = volguard.wait_queue('views', 'v-9', NULL) AS slot;

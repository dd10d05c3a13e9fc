-- The views for people: locks and their holders, the state of services, the state of clusters.
SELECT volguard.register_service('node-1', 'volume', 'views', '90 s', '{"zone": "a"}') AS up, volguard.register_service('node-2', 'volume', 'views') AS down, volguard.register_service('node-3', 'backup', 'views') AS fenced \gset
SELECT volguard.acquire(:up, 'views', 'v-1', 'attach', 'creating', request_id => '00000000-0000-0000-0000-000000000001', details => '{"step": 1}') AS token,
       volguard.acquire(:up, 'views', 'v-2') IS NOT NULL AS got, volguard.acquire(:down, 'views', 'v-3') IS NOT NULL AS got, volguard.acquire(:fenced, 'views', 'v-4') IS NOT NULL AS got \gset
UPDATE volguard.services SET heartbeat_at = now() - interval '1 hour' WHERE service_id = :down;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :fenced;

-- Their columns are a contract.
SELECT attrelid::regclass AS view, string_agg(attname || ' ' || format_type(atttypid, NULL), ', ' ORDER BY attnum) AS columns
FROM pg_attribute WHERE attrelid IN ('volguard.lock_status'::regclass, 'volguard.service_status'::regclass, 'volguard.cluster_status'::regclass, 'volguard.event_log'::regclass) AND attnum > 0 GROUP BY 1 ORDER BY 1::text;

SELECT cluster, resource_type, resource_id, lock_name, token = :token AS token, status, service_id = :up AS of_the_first, host, binary_name, alive FROM volguard.lock_status WHERE cluster = 'views' ORDER BY resource_id;
SELECT held_for > '0' AND held_for < '1 hour' AS held_for, acquired_at <= updated_at AS in_order, request_id, details FROM volguard.lock_status WHERE token = :token;
SELECT volguard.set_status(:token, 'downloading');
SELECT status, acquired_at < updated_at AS later FROM volguard.lock_status WHERE token = :token;
-- A row whose service is gone has no owner, and is still shown.
BEGIN;
DELETE FROM volguard.services WHERE service_id = :fenced;
SELECT resource_id, host, alive FROM volguard.lock_status WHERE cluster = 'views' AND host IS NULL;
ROLLBACK;

SELECT cluster, host, binary_name, state, lease, fenced_at IS NOT NULL AS fenced, held_locks, registered_by = CURRENT_USER::regrole AS mine, details FROM volguard.service_status WHERE cluster = 'views' ORDER BY host;
SELECT host, silent_for >= '0' AS positive, silent_for > '59 min' AS long, heartbeat_at >= registered_at AS in_order FROM volguard.service_status WHERE cluster = 'views' ORDER BY host;
-- A service is down when its lease is over, at the moment of the query and not at the start of the transaction.
BEGIN;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease WHERE service_id = :up;
SELECT state FROM volguard.service_status WHERE service_id = :up;
SELECT alive FROM volguard.lock_status WHERE token = :token;
UPDATE volguard.services SET heartbeat_at = clock_timestamp() - lease + '1 min' WHERE service_id = :up;
SELECT state FROM volguard.service_status WHERE service_id = :up;
ROLLBACK;

SELECT cluster, state, services, services_up, services_down, services_fenced, held_locks, disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'views';
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
SELECT state, services, services_up, services_down, services_fenced FROM volguard.cluster_status WHERE cluster = 'views';
DELETE FROM volguard.services WHERE cluster = 'views';
UPDATE volguard.clusters SET disabled = true, disabled_reason = 'moving' WHERE name = 'views';
SELECT state, services, services_up, services_down, services_fenced, held_locks, last_heartbeat, disabled, disabled_reason FROM volguard.cluster_status WHERE cluster = 'views';
ROLLBACK;

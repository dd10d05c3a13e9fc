-- on_crash(retry): submitted work of a service that crashed goes back into its queue, and then the rule applies.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE retry_volumes (id text PRIMARY KEY, status text NOT NULL);
INSERT INTO retry_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 9) AS n;
SELECT volguard.track_resource('retry-vol', 'retry_volumes');
SELECT volguard.on_crash('retry-vol', 'deleting', '{"status": "error_deleting"}', 2), volguard.on_crash('retry-vol', 'extending', '{"status": "error"}');
SELECT status, retry FROM volguard.crash_rule_status WHERE resource_type = 'retry-vol' ORDER BY 1;
CREATE VIEW retried AS SELECT resource_id, status, attempt, service_id IS NULL AS waits, token = work_id AS number, crashed_service_id FROM volguard.lock_status
WHERE resource_type = 'retry-vol' ORDER BY 1;
-- A service takes what is due, at once or after its pause, and dies.
CREATE PROCEDURE take_and_crash(name text, most integer DEFAULT 9) LANGUAGE plpgsql AS $$
DECLARE
    service bigint := volguard.register_service(name, 'manager', 'retry');
BEGIN
    UPDATE volguard.workers SET not_before = clock_timestamp() WHERE service_id IS NULL;
    PERFORM count(*) FROM volguard.next_work(service, most);
    UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 day' WHERE service_id = service;
END$$;
SELECT volguard.register_service('node-0', 'manager', 'retry') > 0 AS registered;
SELECT token AS work FROM volguard.submit_work('retry', 'retry-vol', 'v-1', '{"status": "deleting"}', request_id => '00000000-0000-0000-0000-000000000001') \gset
SELECT outcome FROM volguard.submit_work('retry', 'retry-vol', 'v-2', '{"status": "extending"}');

CALL take_and_crash('node-1');
CALL volguard.run_cleanup();
SELECT * FROM retried;
SELECT id, status FROM retry_volumes WHERE id IN ('v-1', 'v-2') ORDER BY 1;
-- After a pause, which grows.
SELECT not_before > clock_timestamp() - interval '1 min' AND not_before <= clock_timestamp() + interval '1 s' AS a_second FROM volguard.lock_status WHERE resource_type = 'retry-vol';
UPDATE volguard.workers SET not_before = clock_timestamp() WHERE service_id IS NULL;
SELECT volguard.register_service('node-9', 'manager', 'retry') AS alive \gset
SELECT token, work_id = :work AS same, attempt, crashed_service_id IS NOT NULL AS from_crash FROM volguard.next_work(:alive) \gset
SELECT :'same' AS same, :'attempt' AS attempt, :'from_crash' AS from_crash;
-- It is no claim. Given back it keeps its attempt.
SELECT volguard.finish_cleanup(:token); :code
SELECT volguard.release(:token);
SELECT * FROM retried;
CALL take_and_crash('node-2');
CALL volguard.run_cleanup();
SELECT * FROM retried;
SELECT kind, details - 'silent_seconds' AS details FROM volguard.event_log WHERE details ->> 'resource_type' = 'retry-vol' ORDER BY event_id;
-- The third time the rule applies. The request is remembered.
CALL take_and_crash('node-3');
CALL volguard.run_cleanup();
SELECT * FROM retried;
SELECT id, status FROM retry_volumes WHERE id = 'v-1';
SELECT outcome, work_id = :work AS same FROM volguard.ended_requests;
SELECT token = :work AS same, outcome FROM volguard.submit_work('retry', 'retry-vol', 'v-1', '{"status": "deleting"}', request_id => '00000000-0000-0000-0000-000000000001');
-- A wait for a lock brings it back as well, and a claim. Work without a rule is claimed, and stays submitted work.
SELECT outcome FROM volguard.submit_work('retry', 'retry-vol', 'v-3', '{"status": "deleting"}'), LATERAL (SELECT outcome AS other FROM volguard.submit_work('retry', 'retry-vol', 'v-4', '{"status": "moving"}', request_id => '00000000-0000-0000-0000-000000000004')) AS o;
CALL take_and_crash('node-4');
SELECT set_config('retry.alive', :'alive', false) IS NOT NULL AS alive;
DO $$BEGIN
    WHILE EXISTS (SELECT FROM retried WHERE resource_id = 'v-3' AND attempt = 1) LOOP
        ASSERT volguard.acquire(current_setting('retry.alive')::bigint, 'retry-vol', 'v-3', wait => '200 ms') IS NULL;
    END LOOP;
END$$;
SELECT * FROM retried WHERE resource_id = 'v-3';
SELECT token, resource_id FROM volguard.claim_cleanup(:alive, 9) \gset
SELECT :'resource_id' AS claimed, volguard.abandon_cleanup(:token);
SELECT token FROM volguard.claim_cleanup(:alive, 9) \gset
SELECT volguard.finish_cleanup(:token);
SELECT outcome FROM volguard.ended_requests WHERE request_id = '00000000-0000-0000-0000-000000000004';
-- A rule that is dropped tries nothing again.
SELECT volguard.on_crash('retry-vol', 'deleting', NULL);
CALL take_and_crash('node-5');
CALL volguard.run_cleanup();
SELECT resource_id, attempt, waits FROM retried;
SELECT volguard.reset_resource('retry-vol', 'v-3');
\set VERBOSITY terse
SELECT volguard.on_crash('retry-vol', 'deleting', '{"status": "error"}', -1); :code
SELECT volguard.on_crash('retry-vol', 'deleting', '{"status": "error"}', 1001); :code
SELECT volguard.on_crash('retry-vol', 'deleting', '{"status": "error"}', NULL);
DROP PROCEDURE take_and_crash;
DROP VIEW retried;
DROP TABLE retry_volumes;

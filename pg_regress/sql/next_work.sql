-- next_work: hands submitted work to services, each piece to one.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_next_manager;
RESET client_min_messages;
CREATE ROLE regress_next_manager;
SELECT volguard.grant_usage('regress_next_manager');
CREATE TABLE next_volumes (id text PRIMARY KEY, status text);
INSERT INTO next_volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 20) AS n;
CREATE TABLE next_snapshots (id text PRIMARY KEY, status text);
INSERT INTO next_snapshots SELECT 's-' || n, 'available' FROM generate_series(1, 3) AS n;
SELECT volguard.track_resource('next-vol', 'next_volumes'), volguard.track_resource('next-snap', 'next_snapshots');
SELECT volguard.register_service('node-1', 'manager', 'backends') AS one, volguard.register_service('node-2', 'manager', 'backends') AS two,
       volguard.register_service('node-1', 'manager2', 'elsewhere') AS three \gset
CREATE FUNCTION submit(n integer, operation text DEFAULT NULL, priority integer DEFAULT 0, host text DEFAULT NULL, due interval DEFAULT '0') RETURNS bigint LANGUAGE sql AS
$$SELECT token FROM volguard.submit_work('backends', 'next-vol', 'v-' || n, '{"status": "deleting"}', operation => operation, priority => priority, host => host, not_before => clock_timestamp() + due)$$;
CREATE VIEW taken AS SELECT resource_id, status, operation, service_id IS NULL AS waits, token = work_id AS number FROM volguard.lock_status WHERE resource_type LIKE 'next-%' ORDER BY 1;

-- Nothing waits: no row, and nothing is written.
BEGIN;
SELECT * FROM volguard.next_work(:one);
SELECT pg_current_xact_id_if_assigned(), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks;
COMMIT;

-- A new token; the number stays.
SELECT submit(1, 'delete') AS work \gset
SELECT token, work_id, resource_type, resource_id, lock_name, status, operation, attempt, crashed_service_id, details FROM volguard.next_work(:one) \gset
SELECT :token > :work AS new_token, :work_id = :work AS same, :'resource_type' AS resource_type, :'resource_id' AS resource_id, :'status' AS status, :'operation' AS operation, :'attempt' AS attempt;
SELECT * FROM taken;
SELECT count(*) FROM volguard.next_work(:two);
-- A wait that ends without work.
SELECT count(*) FROM volguard.next_work(:two, wait => '50 ms');
SELECT count(*) FROM volguard.next_work(:two, resource_type => 'next-vol', operations => '{a, b}', wait => '50 ms');
-- It is a lock of the service as any other.
SELECT volguard.assert_held(:token), volguard.set_status(:token, 'deleting-1');
SELECT volguard.set_status(:token, NULL); :code
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:work);
\set VERBOSITY default
-- Its end.
SELECT outcome, new_row FROM volguard.finish_work(:token, '{"status": "deleted"}');
SELECT outcome FROM volguard.finish_work(:token, '{"status": "deleted"}');
SELECT * FROM taken;

-- Of the largest priority; for the own host before that for any; the oldest.
SELECT count(submit(n)) FROM generate_series(2, 4) AS n;
SELECT submit(5, priority => 10) > 0, submit(6, host => 'node-2') > 0, submit(7, 'extend', 10) > 0, submit(8, 'extend', -10, 'node-1') > 0, submit(9, due => '1 hour') > 0;
SELECT resource_id FROM volguard.next_work(:two);
SELECT resource_id FROM volguard.next_work(:two);
SELECT resource_id FROM volguard.next_work(:two);
SELECT resource_id FROM volguard.next_work(:two);
SELECT resource_id FROM volguard.next_work(:two, 10);
SELECT resource_id FROM volguard.next_work(:two);
SELECT resource_id FROM volguard.next_work(:one);
SELECT resource_id FROM volguard.next_work(:one);
SELECT * FROM taken WHERE waits;
-- A wait ends when work is due.
SELECT submit(11, 'soon', due => '200 ms') > 0;
SELECT resource_id FROM volguard.next_work(:two, operations => '{soon}', wait => '30 s');
-- Given back it waits again, with the same attempt, behind the others.
SELECT volguard.reconcile(:two, '{}') AS given_back;
SELECT count(submit(n)) FROM generate_series(10, 10) AS n;
SELECT resource_id, attempt FROM volguard.next_work(:two, 2);
SELECT volguard.release_all(ARRAY(SELECT token FROM volguard.lock_status WHERE service_id = :two));
SELECT token FROM volguard.next_work(:two) \gset
SELECT volguard.release(:token), volguard.release(:token);
SELECT token FROM volguard.next_work(:two) \gset
SELECT volguard.force_release(:token, 'a test'), volguard.force_release(:token, 'a test');
SELECT count(*) AS waiting FROM volguard.lock_status WHERE service_id IS NULL;
-- After a lost answer: the same call again, under its request id, gets the same. Another id gets other work, and so
-- does another service.
CREATE TEMP TABLE got AS SELECT * FROM volguard.next_work(:two, 2, request_id => '00000000-0000-0000-0000-000000000012');
SELECT count(*), count(DISTINCT token) FROM (SELECT * FROM got UNION ALL SELECT * FROM volguard.next_work(:two, 9, request_id => '00000000-0000-0000-0000-000000000012')) AS two_calls;
SELECT count(*) FROM volguard.next_work(:two, 1, 'no such type', wait => '10 s', request_id => '00000000-0000-0000-0000-000000000012') JOIN got USING (token);
SELECT count(*), count(token) FILTER (WHERE token IN (SELECT token FROM got)) AS same FROM volguard.next_work(:two, request_id => '00000000-0000-0000-0000-000000000013');
SELECT count(*), count(token) FILTER (WHERE token IN (SELECT token FROM got)) AS same FROM volguard.next_work(:one, request_id => '00000000-0000-0000-0000-000000000012');
-- What the service has of it still, and then new work.
SELECT volguard.release(min(token)) FROM got;
SELECT count(*), min(token) = (SELECT max(token) FROM got) AS same FROM volguard.next_work(:two, request_id => '00000000-0000-0000-0000-000000000012');
SELECT volguard.release(max(token)) FROM got;
SELECT count(*), min(token) > (SELECT max(token) FROM got) AS larger FROM volguard.next_work(:two, request_id => '00000000-0000-0000-0000-000000000012');
SELECT volguard.release_requests(:one, '{00000000-0000-0000-0000-000000000012}') AS given_back, volguard.reconcile(:two, '{}') AS given_back_too;
-- A lock under that id is no work, nor is claimed work.
SELECT volguard.acquire(:two, 'next-plain', 'p', request_id => '00000000-0000-0000-0000-000000000014') IS NOT NULL AS got;
SELECT count(*) FROM volguard.next_work(:two, 1, 'no such type', request_id => '00000000-0000-0000-0000-000000000014');
SELECT volguard.reconcile(:two, '{}') AS given_back;
DROP TABLE got;
-- Or it is given back.
SELECT count(*) FROM volguard.next_work(:two, request_id => '00000000-0000-0000-0000-000000000011');
SELECT volguard.release_requests(:two, '{00000000-0000-0000-0000-000000000011}') AS given_back, volguard.release_requests(:two, '{00000000-0000-0000-0000-000000000011}') AS again;
SELECT count(*) AS waiting FROM volguard.lock_status WHERE service_id IS NULL;
-- By operation and by type.
SELECT outcome FROM volguard.submit_work('backends', 'next-snap', 's-1', '{"status": "deleting"}', operation => 'delete', details => '{"a": [1]}');
SELECT resource_id FROM volguard.next_work(:two, operations => '{nothing}');
SELECT resource_id, operation, details FROM volguard.next_work(:two, 9, operations => '{nothing, delete}');
SELECT resource_id FROM volguard.next_work(:two, 9, 'next-snap');
SELECT resource_id FROM volguard.next_work(:two, 9, 'next-vol', '{extend}');
SELECT volguard.reconcile(:two, '{}') AS given_back;
-- A service of another cluster gets none, nor does a disabled cluster, nor a dead service.
SELECT count(*) FROM volguard.next_work(:three);
SELECT volguard.set_cluster_disabled('backends', true, 'maintenance');
SELECT count(*) FROM volguard.next_work(:two);
SELECT volguard.set_cluster_disabled('backends', false);
SELECT volguard.update_service(:two, disabled => true, disabled_reason => 'a test');
SELECT count(*) FROM volguard.next_work(:two);
SELECT volguard.update_service(:two, disabled => false);
\set VERBOSITY sqlstate
SELECT volguard.next_work(-1);
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 day' WHERE service_id = :one;
SELECT volguard.next_work(:one);
SELECT volguard.fence_service(:one, 'a test');
SELECT volguard.next_work(:one);
SET ROLE regress_next_manager;
SELECT volguard.next_work(:two);
RESET ROLE;
\set VERBOSITY terse
-- Bad input.
SELECT volguard.next_work(:two, 0); :code
SELECT volguard.next_work(:two, -1); :code
SELECT volguard.next_work(:two, operations => '{}'); :code
SELECT volguard.next_work(:two, operations => '{NULL}'); :code
SELECT volguard.next_work(:two, operations => '{""}'); :code
SELECT volguard.next_work(:two, operations => ARRAY(SELECT 'o-' || n FROM generate_series(1, 17) AS n)); :code
SELECT volguard.next_work(:two, resource_type => ''); :code
SELECT volguard.next_work(NULL); :code
SELECT volguard.next_work(:two, wait => '31 s'); :code
SELECT volguard.next_work(:two, wait => '-1 s'); :code
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.next_work(:two, wait => '1 s'); :code
ROLLBACK;
SELECT count(*) > 0 AS some FROM volguard.next_work(:two, NULL, NULL, NULL, NULL);
\set VERBOSITY default
-- A service that stops in order leaves none of it: it waits again.
SELECT volguard.deregister_service(:two) AS left_work;
SELECT count(*) FILTER (WHERE service_id IS NULL) AS waiting, count(*) FILTER (WHERE status IS NOT NULL) AS all FROM volguard.lock_status WHERE resource_type = 'next-vol' AND resource_id IN ('v-2', 'v-3');
-- The role of the service must be allowed to change the status.
SELECT volguard.set_cluster_owner('backends', 'regress_next_manager');
SET ROLE regress_next_manager;
SELECT volguard.register_service('node-4', 'manager', 'backends') AS four \gset
SELECT volguard.next_work(:four);
SELECT volguard.next_work(:four, 1, 'next-snap'); :code
RESET ROLE;
GRANT UPDATE (status) ON next_snapshots TO regress_next_manager;
-- Nor where policies apply to the role: its death would change rows that they hide.
ALTER TABLE next_snapshots ENABLE ROW LEVEL SECURITY;
SET ROLE regress_next_manager;
SELECT volguard.next_work(:four);
SELECT volguard.next_work(:four, 1, 'next-snap'); :code
RESET ROLE;
ALTER TABLE next_snapshots DISABLE ROW LEVEL SECURITY;
SET ROLE regress_next_manager;
SELECT resource_type FROM volguard.next_work(:four, 20);
SELECT volguard.next_work(:four, 20, 'next-vol'); :code
RESET ROLE;
-- A cluster with waiting work stays, and is not removed.
SELECT volguard.fence_service(:four, 'a test');
SELECT volguard.remove_cluster('backends'); :code

DROP FUNCTION submit;
DROP VIEW taken;
DROP TABLE next_volumes, next_snapshots;
DROP OWNED BY regress_next_manager;
DROP ROLE regress_next_manager;

-- claim_cleanup: work of crashed services that no crash rule repairs is handed to live services of the cluster.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_claim_owner, regress_claim_team, regress_claim_stranger;
RESET client_min_messages;
CREATE TABLE claim_volumes (id text PRIMARY KEY, status text CHECK (status <> 'broken'));
SELECT volguard.track_resource('claim', 'claim_volumes');
SELECT volguard.on_crash('claim', 'creating', '{"status": "error"}'), volguard.on_crash('claim', 'resizing', '{"status": "broken"}');
SELECT volguard.register_service('node-1', 'volume', 'claim') AS one, volguard.register_service('node-2', 'volume', 'claim') AS two \gset
-- A service with work in these states; late, unless the argument says otherwise.
CREATE FUNCTION pg_temp.crashed(host text, work text[], late boolean DEFAULT true) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    service bigint := volguard.register_service(host, 'volume', 'claim', lease => '1 hour');
BEGIN
    FOR i IN 1 .. cardinality(work) BY 2 LOOP
        PERFORM volguard.acquire(service, 'claim', work[i], status => work[i + 1], details => jsonb_build_object('step', i), request_id => '00000000-0000-0000-0000-000000000001');
        INSERT INTO claim_volumes VALUES (work[i], work[i + 1]) ON CONFLICT (id) DO UPDATE SET status = excluded.status;
    END LOOP;
    IF late THEN
        UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = service;
    END IF;
    RETURN service;
END
$$;
CREATE TEMP VIEW work AS SELECT resource_id, lock_name, status, token, service_id, crashed_service_id FROM volguard.workers WHERE cluster = 'claim' ORDER BY 1, 2;

-- No service has crashed.
SELECT pg_temp.crashed('node-3', '{v-1, deleting}', late => false) AS living \gset
BEGIN;
SELECT count(*) FROM volguard.claim_cleanup(:one, max_rows => 10);
-- A refusal writes nothing, and leaves no lock.
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();
COMMIT;
DELETE FROM volguard.workers WHERE cluster = 'claim';

-- One row by default, oldest first; the crashed service is fenced with it, and its plain locks are left to cleanup.
SELECT pg_temp.crashed('node-3', '{v-1, deleting, v-2, deleting}') AS dead \gset
UPDATE volguard.services SET heartbeat_at = now() WHERE service_id = :dead;
SELECT volguard.acquire(:dead, 'claim', 'v-9') AS plain, (SELECT token FROM work WHERE resource_id = 'v-1' AND service_id = :dead) AS old \gset
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :dead;
SELECT token AS claimed, token > :old AS larger, resource_type, resource_id, lock_name, status, crashed_service_id = :dead AS dead, details FROM volguard.claim_cleanup(:one) \gset first_
\echo :first_larger :first_resource_type :first_resource_id :first_lock_name :first_status :first_dead :first_details
SELECT resource_id, status, service_id = :one AS ours, service_id = :dead AS dead, crashed_service_id = :dead AS crashed FROM work;
SELECT state FROM volguard.service_status WHERE service_id = :dead;
SELECT service_id = :one AS ours, alive, crashed_service_id = :dead AS crashed FROM volguard.lock_status WHERE token = :first_claimed;
-- No verb accepts the old token. The new one works like that of any lock.
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:old);
SELECT volguard.set_status(:old, 'again');
\set VERBOSITY default
SELECT volguard.release(:old), volguard.finish_cleanup(:old), volguard.abandon_cleanup(:old),
       (volguard.conditional_update('claim_volumes', '{"id": "v-1"}', '{"status": "back"}', fence => :old)).outcome;
SELECT volguard.assert_held(:first_claimed), volguard.set_status(:first_claimed, 'deleting'),
       (volguard.conditional_update('claim_volumes', '{"id": "v-1"}', '{"status": "deleting"}', fence => :first_claimed)).outcome;
-- The key is held, also against the new holder, and also if that uses the request id of the crashed service.
SELECT volguard.acquire(:one, 'claim', 'v-1'), volguard.acquire(:two, 'claim', 'v-1'), volguard.acquire(:one, 'claim', 'v-1', request_id => '00000000-0000-0000-0000-000000000001') AS retry,
       (SELECT count(*) FROM volguard.acquire_all(:one, '[{"resource_type": "claim", "resource_id": "v-1"}]', request_id => '00000000-0000-0000-0000-000000000001')) AS retry_all;
-- The next claimer gets the rest, of the type that it asks for; then nothing is left.
SELECT resource_id FROM volguard.claim_cleanup(:two, 10, 'another');
SELECT resource_id FROM volguard.claim_cleanup(service_id => :two, max_rows => 10, resource_type => 'claim');
SELECT resource_id FROM volguard.claim_cleanup(:two, 10);
-- A cleanup frees the plain lock and finds no work; the claims stay.
SELECT service_id = :dead AS dead, state, locks_released, awaiting FROM volguard.cleanup(cluster => 'claim');
SELECT resource_id, service_id IN (:one, :two) AS claimed FROM work;
DELETE FROM volguard.workers WHERE cluster = 'claim';

-- A crash rule has precedence; if it fails, its work is handed out. Work
-- whose resource is gone or has changed is dropped, and doesn't count.
SELECT pg_temp.crashed('node-4', '{w-1, creating, w-2, deleting, w-3, deleting, w-4, resizing, w-5, creating, w-6, deleting}') AS dead \gset
DELETE FROM claim_volumes WHERE id = 'w-2';
UPDATE claim_volumes SET status = 'available' WHERE id = 'w-5';
SELECT resource_id, status FROM volguard.claim_cleanup(:one, 2);
SELECT resource_id, service_id = :one AS claimed FROM work;
SELECT id, status FROM claim_volumes WHERE id LIKE 'w-%' ORDER BY id;
SELECT kind, service_id = :dead AS dead, details - 'claimer' - 'error' - 'silent_seconds' AS details FROM volguard.event_log WHERE cluster = 'claim' AND service_id = :dead OR resource_type = 'claim' ORDER BY event_id;
DELETE FROM volguard.workers WHERE cluster = 'claim';
-- Of several resources, those that the rule fails on are handed out, each with its warning.
ALTER TABLE claim_volumes ADD CONSTRAINT claim_some CHECK (id NOT IN ('m-2', 'm-5') OR status <> 'error') NOT VALID;
SELECT volguard.on_crash('claim', 'moving', '{"status": "error"}');
SELECT pg_temp.crashed('node-4', '{m-1, moving, m-2, moving, m-3, moving, m-4, moving, m-5, moving, m-6, moving}') AS dead \gset
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);
SELECT id, status FROM claim_volumes WHERE id LIKE 'm-%' ORDER BY id;
ALTER TABLE claim_volumes DROP CONSTRAINT claim_some;
DELETE FROM volguard.workers WHERE cluster = 'claim';
-- A rule that fails for every resource gives one warning.
SELECT pg_temp.crashed('node-4', '{m-1, moving, m-2, moving, m-3, moving}') AS dead \gset
ALTER TABLE claim_volumes RENAME status TO state;
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);
ALTER TABLE claim_volumes RENAME state TO status;
SELECT volguard.on_crash('claim', 'moving', NULL);
DELETE FROM volguard.workers WHERE cluster = 'claim';
-- An untracked type has neither rule nor status.
SELECT pg_temp.crashed('node-5', '{}', late => false) AS dead \gset
SELECT volguard.acquire(:dead, 'untracked', 'u-1', 'part', status => 'sleeping') AS untracked \gset
SELECT volguard.deregister_service(:dead);
SELECT resource_type, resource_id, lock_name, status, details FROM volguard.claim_cleanup(:two, 10, 'untracked');
DELETE FROM volguard.workers WHERE cluster = 'claim';

-- A claimer dies: its work can be claimed again, and still names the service that crashed first.
SELECT pg_temp.crashed('node-6', '{x-1, deleting, x-2, deleting}') AS dead \gset
SELECT pg_temp.crashed('node-7', '{}', late => false) AS claimer \gset
SELECT count(*) FROM volguard.claim_cleanup(:claimer, 10);
SELECT token AS x1 FROM work WHERE resource_id = 'x-1' \gset
SELECT count(*) FROM volguard.claim_cleanup(:one, 10);
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :claimer;
SELECT resource_id, token > :x1 AS larger, crashed_service_id = :dead AS first FROM volguard.claim_cleanup(:one);
SELECT state FROM volguard.service_status WHERE service_id = :claimer;
SELECT volguard.finish_cleanup(:x1), volguard.abandon_cleanup(:x1), volguard.release(:x1);
-- A rule can repair it too: one that was added meanwhile repairs the work of the claimer.
SELECT volguard.on_crash('claim', 'deleting', '{"status": "error_deleting"}');
SELECT service_id = :claimer AS claimer, state, resources_cleaned FROM volguard.cleanup(cluster => 'claim');
SELECT resource_id, service_id = :one AS claimed FROM work;
SELECT volguard.on_crash('claim', 'deleting', NULL);
-- The crashed service is kept, beyond its retention, as long as a claimer has its work.
UPDATE volguard.services SET fenced_at = now() - interval '1 year' WHERE service_id IN (:dead, :claimer);
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
SELECT service_id = :dead AS dead FROM volguard.services WHERE service_id IN (:dead, :claimer);
DELETE FROM volguard.workers WHERE cluster = 'claim';

-- A call that is repeated with its request id returns what the first one got, and takes nothing more.
SELECT pg_temp.crashed('node-6', '{r-1, deleting, r-2, deleting, r-3, deleting, r-4, deleting, r-5, deleting, r-6, deleting}') AS dead \gset
CREATE TEMP TABLE got AS SELECT * FROM volguard.claim_cleanup(:one, 3, request_id => '00000000-0000-0000-0000-000000000002');
SELECT resource_id FROM got;
SELECT count(*) AS same FROM (SELECT * FROM got INTERSECT SELECT * FROM volguard.claim_cleanup(service_id => :one, max_rows => 3, resource_type => NULL, request_id => '00000000-0000-0000-0000-000000000002')) AS same;
-- Whatever else it asks for, and in any isolation level. It writes nothing, and leaves no lock.
SELECT resource_id FROM volguard.claim_cleanup(:one, 10, 'another', '00000000-0000-0000-0000-000000000002');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => '00000000-0000-0000-0000-000000000002');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND pid = pg_backend_pid();
COMMIT;
SELECT resource_id, request_id FROM volguard.lock_status WHERE cluster = 'claim' ORDER BY 1;
-- Another request, and another service with the same id, get other work.
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => '00000000-0000-0000-0000-000000000003');
SELECT resource_id FROM volguard.claim_cleanup(:two, request_id => '00000000-0000-0000-0000-000000000002');
-- Without an id each call takes more, and the request of the crashed service is gone with it.
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => NULL);
SELECT request_id FROM volguard.lock_status WHERE cluster = 'claim' AND resource_id = 'r-6';
-- The details are those of now; what was given back, finished, or made a plain lock, is not held by the request any more.
SELECT volguard.finish_cleanup(token) FROM got WHERE resource_id = 'r-1';
SELECT volguard.set_status(token, 'wiping') FROM got WHERE resource_id = 'r-2';
SELECT volguard.set_status(token, NULL) FROM got WHERE resource_id = 'r-3';
SELECT resource_id, status, token = (SELECT token FROM got WHERE resource_id = 'r-2') AS same FROM volguard.claim_cleanup(:one, 3, request_id => '00000000-0000-0000-0000-000000000002');
-- The id of a claim is not one of an acquire, and the reverse.
SELECT volguard.acquire(:one, 'claim', 'r-2', request_id => '00000000-0000-0000-0000-000000000002') AS refused;
SELECT volguard.acquire(:one, 'claim', 'r-7', status => 'creating', request_id => '00000000-0000-0000-0000-000000000007') IS NOT NULL AS got;
SELECT count(*) FROM volguard.claim_cleanup(:one, request_id => '00000000-0000-0000-0000-000000000007');
-- Once it holds nothing, the request takes again.
SELECT volguard.abandon_cleanup(token) FROM got WHERE resource_id = 'r-2';
SELECT request_id FROM volguard.lock_status WHERE cluster = 'claim' AND resource_id = 'r-2';
UPDATE claim_volumes SET status = 'wiping' WHERE id = 'r-2';
SELECT resource_id, token > (SELECT token FROM got WHERE resource_id = 'r-2') AS larger FROM volguard.claim_cleanup(:one, 3, request_id => '00000000-0000-0000-0000-000000000002');
-- A lease that is over is no reason to keep an answer from the claimer; a fence is one.
BEGIN;
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :one;
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => '00000000-0000-0000-0000-000000000002');
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => '00000000-0000-0000-0000-000000000009');
ROLLBACK TO s;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :one;
SELECT resource_id FROM volguard.claim_cleanup(:one, request_id => '00000000-0000-0000-0000-000000000002');
ROLLBACK;
SELECT volguard.claim_cleanup(:one, request_id => 'first');
\set VERBOSITY default
DROP TABLE got;
DELETE FROM volguard.workers WHERE cluster = 'claim';

-- The next incarnation has precedence, for one lease after the fence; other services get nothing.
SELECT pg_temp.crashed('node-0', '{z-1, deleting}') AS other \gset
SELECT pg_temp.crashed('node-8', '{y-1, deleting, y-2, deleting}', late => false) AS dead \gset
SELECT volguard.register_service('node-8', 'volume', 'claim') AS next, volguard.register_service('node-8', 'backup', 'claim') AS namesake \gset
BEGIN;
SELECT resource_id FROM volguard.claim_cleanup(:namesake, 10);
ROLLBACK;
-- It gets its own work first, before older work of another service, and then that too.
SELECT resource_id FROM volguard.claim_cleanup(:next);
BEGIN;
SELECT resource_id FROM volguard.claim_cleanup(:next, 10);
ROLLBACK;
-- Other services need not wait for an incarnation that is dead again. (What that one has is not handed out as long as
-- this is not committed: rules come first, in another process.)
BEGIN;
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :next;
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);
ROLLBACK;
-- Nor do they wait for one that doesn't claim in time. It still has precedence if it claims then.
UPDATE volguard.services SET fenced_at = now() - interval '1 hour' WHERE service_id = :dead;
BEGIN;
SELECT resource_id FROM volguard.claim_cleanup(:next, 1);
ROLLBACK;
SELECT resource_id FROM volguard.claim_cleanup(:namesake, 10);
DELETE FROM volguard.workers WHERE cluster = 'claim';

-- A service claims no work of another cluster.
SELECT pg_temp.crashed('node-3', '{v-1, deleting}') AS dead, volguard.register_service('node-30', 'volume', 'claim elsewhere') AS elsewhere \gset
SELECT count(*) FROM volguard.claim_cleanup(:elsewhere, 10);
-- It claims no work of another role either: a role that can't act for
-- the crashed service can't take over for it. The extension's owner can.
CREATE ROLE regress_claim_team;
CREATE ROLE regress_claim_stranger;
CREATE ROLE regress_claim_owner ROLE regress_claim_team, regress_claim_stranger;
SELECT volguard.grant_usage('regress_claim_owner');
GRANT UPDATE (status) ON claim_volumes TO regress_claim_team;
UPDATE volguard.clusters SET owner = 'regress_claim_owner' WHERE name = 'claim';
UPDATE volguard.services SET registered_by = 'regress_claim_team' WHERE service_id = :dead;
SET ROLE regress_claim_stranger;
SELECT volguard.register_service('node-s', 'volume', 'claim') AS strangers \gset
SELECT count(*) FROM volguard.claim_cleanup(:strangers, 10);
RESET ROLE;
SET ROLE regress_claim_team;
SELECT volguard.register_service('node-t', 'volume', 'claim') AS teams \gset
SELECT token AS team, resource_id FROM volguard.claim_cleanup(:teams, 10) \gset
\set VERBOSITY sqlstate
SELECT count(*) FROM volguard.claim_cleanup(:strangers, 10);
SET ROLE regress_claim_stranger;
SELECT volguard.finish_cleanup(:team);
SELECT volguard.abandon_cleanup(:team);
RESET ROLE;
SELECT resource_id, service_id = :teams AS teams FROM work;
SELECT volguard.abandon_cleanup(:team);
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);

-- Bad input, and claimers that may not claim.
SELECT * FROM volguard.claim_cleanup(NULL);
SELECT count(*) FROM volguard.claim_cleanup(:one, NULL, NULL, NULL);
\set VERBOSITY default
SELECT * FROM volguard.claim_cleanup(:one, 0); :code
SELECT * FROM volguard.claim_cleanup(:one, -1); :code
SELECT * FROM volguard.claim_cleanup(:one, 1, ''); :code
SELECT * FROM volguard.claim_cleanup(:one, 1, repeat('t', 256)); :code
SELECT count(*) FROM volguard.claim_cleanup(:one, 2147483647, NULL);
SELECT * FROM volguard.claim_cleanup(-1); :code
\set VERBOSITY sqlstate
SELECT pg_temp.crashed('node-3', '{v-3, deleting}') AS dead \gset
SELECT * FROM volguard.claim_cleanup(:dead);
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :two;
SELECT * FROM volguard.claim_cleanup(:two);
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :two;
SELECT * FROM volguard.claim_cleanup(:two);
\set VERBOSITY default
SELECT resource_id, service_id = :dead AS dead FROM work WHERE resource_id = 'v-3';
-- The mark is what refuses it.
BEGIN;
UPDATE volguard.services SET fenced_at = NULL, heartbeat_at = now() WHERE service_id = :two;
SELECT resource_id FROM volguard.claim_cleanup(:two);
ROLLBACK;

-- Every isolation level works; after a rollback no work is claimed. The fence stays: rules ran after it.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);
ROLLBACK;
SELECT s.fenced_at IS NULL AS unfenced, w.crashed_service_id FROM volguard.services AS s JOIN volguard.workers AS w USING (service_id) WHERE service_id = :dead;
-- Not in a read-only transaction.
BEGIN READ ONLY;
\set VERBOSITY sqlstate
SELECT resource_id FROM volguard.claim_cleanup(:one, 10);
\set VERBOSITY default
ROLLBACK;
-- Details are returned as they are, at any depth.
UPDATE volguard.workers SET details = (repeat('[', 2000) || repeat(']', 2000))::jsonb WHERE service_id = :dead;
SELECT length(details::text) FROM volguard.claim_cleanup(:one);
-- A call ends after a thousand stale rows.
SELECT count(pg_temp.crashed('node-9', ARRAY(SELECT CASE c WHEN 1 THEN 's-' || i ELSE 'deleting' END FROM generate_series(1, 1005) AS i, generate_series(1, 2) AS c ORDER BY i, c)));
UPDATE claim_volumes SET status = 'available' WHERE id LIKE 's-%' AND id <> 's-1005';
SELECT resource_id FROM volguard.claim_cleanup(:one);
SELECT resource_id FROM volguard.claim_cleanup(:one);

DELETE FROM volguard.workers WHERE cluster = 'claim';
DELETE FROM volguard.resources WHERE resource_type = 'claim';
DROP TABLE claim_volumes;
DELETE FROM volguard.services WHERE cluster LIKE 'claim%';
DROP OWNED BY regress_claim_owner, regress_claim_team, regress_claim_stranger;
DROP ROLE regress_claim_owner, regress_claim_team, regress_claim_stranger;

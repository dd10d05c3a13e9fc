-- A service that registers in another cluster of its owner: the earlier incarnation is fenced, and what it had stays
-- that of the cluster in which it was taken.
CREATE TABLE moved_volumes (id text PRIMARY KEY, status text);
INSERT INTO moved_volumes VALUES ('v-1', 'copying'), ('v-2', 'copying'), ('v-3', 'deleting');
SELECT volguard.track_resource('moved', 'moved_volumes');
SELECT volguard.on_crash('moved', 'deleting', '{"status": "error"}');
-- In clusters of an owner; in the cluster that belongs to no role the identity is the registering role's.
SELECT volguard.register_service('node-1', 'volume', 'moved-from', lease => '1 hour') AS before, volguard.register_service('node-2', 'volume', 'moved-from') AS peer,
       volguard.register_service('node-3', 'volume', 'moved-to') AS there \gset
SELECT volguard.acquire(:before, 'moved', 'plain') AS plain, volguard.acquire(:before, 'moved', 'v-1', status => 'copying') AS work,
       volguard.acquire(:before, 'moved', 'v-2', status => 'copying') AS more, volguard.acquire(:before, 'moved', 'v-3', status => 'deleting') AS ruled \gset
SET client_min_messages = error;
SELECT volguard.register_service('node-1', 'volume', 'moved-to') AS moved \gset
RESET client_min_messages;
SELECT cluster, state, service_id = :moved AS moved FROM volguard.service_status WHERE host = 'node-1' AND owner = CURRENT_USER AND cluster LIKE 'moved-%' ORDER BY service_id;
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:plain);
SELECT volguard.assert_held(:work);
\set VERBOSITY default
SELECT resource_id, cluster, alive FROM volguard.lock_status WHERE service_id = :before ORDER BY 1;
-- A plain lock is free to any service, of whatever cluster. Work is not.
SELECT volguard.acquire(:moved, 'moved', 'plain') > :plain AS got, volguard.acquire(:moved, 'moved', 'v-1') AS refused;
-- The work may be claimed in the cluster in which it was taken; at once, since no incarnation there has it reserved.
SELECT count(*) FROM volguard.claim_cleanup(:moved, 10);
SELECT count(*) FROM volguard.claim_cleanup(:there, 10);
SELECT resource_id, crashed_service_id = :before AS before FROM volguard.claim_cleanup(:peer, 10);
SELECT status FROM moved_volumes WHERE id = 'v-3';
-- It moves back, and takes over what is left of its own: that of the incarnation before the last one.
SELECT volguard.reconcile(:peer, '{}');
SET client_min_messages = error;
SELECT volguard.register_service('node-1', 'volume', 'moved-from') AS back \gset
RESET client_min_messages;
SELECT count(*) FROM volguard.claim_cleanup(:peer);
SELECT resource_id FROM volguard.claim_cleanup(:back, 10);
-- A cleanup by rules asks for no cluster; an operator's neither.
SELECT volguard.on_crash('moved', 'copying', '{"status": "error"}');
SELECT volguard.repair('moved', 'v-1');
SET client_min_messages = error;
SELECT volguard.register_service('node-1', 'volume', 'moved-to') IS NOT NULL AS moved;
RESET client_min_messages;
SELECT cluster, state, resources_cleaned FROM volguard.cleanup(cluster => 'moved-from');
SELECT id, status FROM moved_volumes ORDER BY id;
-- Submitted work stays in the queue of its cluster, for its host too, and what the service had taken goes by its rule there.
UPDATE moved_volumes SET status = 'available';
SELECT volguard.on_crash('moved', 'deleting', '{"status": "error"}', retry => 1);
SET client_min_messages = error;
SELECT volguard.register_service('node-1', 'volume', 'moved-from', lease => '1 hour') AS before \gset
SELECT token AS taken FROM volguard.submit_work('moved-from', 'moved', 'v-2', '{"status": "deleting"}', host => 'node-1') \gset
SELECT count(*) FROM volguard.next_work(:before);
SELECT token AS waiting FROM volguard.submit_work('moved-from', 'moved', 'v-1', '{"status": "deleting"}', host => 'node-1') \gset
SELECT volguard.register_service('node-1', 'volume', 'moved-to') AS moved \gset
SELECT count(*) FROM volguard.next_work(:moved);
SELECT count(*) FROM volguard.next_work(:peer);
SELECT why FROM volguard.why('moved', 'v-1') WHERE why LIKE '%is up%';
CALL volguard.run_cleanup(cluster => 'moved-from');
SELECT resource_id, cluster, for_host, attempt, service_id FROM volguard.lock_status WHERE resource_type = 'moved' AND work_id IS NOT NULL ORDER BY 1;
-- A service of the host in the old cluster, under another name, passes it on to the new one.
SELECT volguard.register_service('node-1', 'mover', 'moved-from') AS mover \gset
UPDATE volguard.workers SET not_before = now() WHERE resource_type = 'moved';
SELECT resource_id, outcome FROM volguard.next_work(:mover, 10), volguard.pass_work(token, 'delete', 'moved-to', 'node-1') ORDER BY 1;
SELECT resource_id, work_id IN (:taken, :waiting) AS same, operation, attempt FROM volguard.next_work(:moved, 10) ORDER BY 1;
RESET client_min_messages;
SELECT volguard.untrack_resource('moved');
DROP TABLE moved_volumes;
DELETE FROM volguard.workers WHERE resource_type = 'moved';

-- What the tests and the pictures of the manual show: two clusters, a manager that died, locks, work that waits.
CREATE TABLE volumes (id text PRIMARY KEY, status text NOT NULL DEFAULT 'available');
INSERT INTO volumes SELECT 'v-' || i FROM generate_series(1, 40) AS i;
DO $$
DECLARE
    first bigint := volguard.register_service('node-1', 'volume-manager', cluster => 'ceph', lease => '30 s');
    second bigint := volguard.register_service('node-2', 'volume-manager', cluster => 'ceph', lease => '30 s');
    dead bigint := volguard.register_service('node-3', 'volume-manager', cluster => 'lvm', lease => '30 s');
BEGIN
    PERFORM volguard.track_resource('volume', 'volumes');
    PERFORM volguard.on_crash('volume', 'extending', '{"status": "error_extending"}');
    PERFORM volguard.acquire(first, 'volume', 'v-1', status => 'extending');
    PERFORM volguard.acquire(second, 'volume', 'v-2');
    PERFORM volguard.acquire(second, 'snapshot', 's-1', 'copy', status => 'copying');
    PERFORM volguard.acquire(dead, 'volume', 'v-3', status => 'creating');
    PERFORM volguard.acquire(dead, 'volume', 'v-4');
    PERFORM volguard.submit_work('ceph', 'volume', 'v-9', '{"status": "deleting"}', operation => 'delete');
    PERFORM volguard.submit_work('ceph', 'volume', 'v-10', '{"status": "extending"}', operation => 'extend', priority => 5);
    PERFORM volguard.submit_work('lvm', 'volume', 'v-11', '{"status": "deleting"}', operation => 'delete');
    PERFORM volguard.acquire(second, 'volume', 'v-5');
    PERFORM volguard.force_release('volume', 'v-5', NULL, reason => 'ticket 4711');
    PERFORM volguard.set_cluster_disabled('lvm', true, 'maintenance until noon');
    UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '2 minutes' WHERE service_id = dead;
END $$;

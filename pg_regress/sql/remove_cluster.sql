-- remove_cluster: and what becomes of empty clusters by themselves.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TEMP VIEW clusters AS SELECT name, owner_named, disabled FROM volguard.clusters WHERE name LIKE 'gone%' ORDER BY 1;

-- Refused while a service is not fenced, alive or not.
SELECT volguard.register_service('node-1', 'volume', 'gone') AS one \gset
SELECT volguard.acquire(:one, 'gone', 'g-1') AS plain, volguard.acquire(:one, 'gone', 'g-2', status => 'creating') IS NOT NULL AS work \gset
SELECT volguard.remove_cluster('gone'); :code
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :one;
SELECT volguard.remove_cluster('gone'); :code
-- And while fenced services have left locks or work.
SELECT volguard.fence_service(:one, 'its node burnt down');
SELECT volguard.remove_cluster('gone'); :code
SELECT state, locks_released, awaiting FROM volguard.cleanup(cluster => 'gone');
SELECT volguard.remove_cluster('gone'); :code
SELECT volguard.reset_resource('gone', 'g-2');
SELECT volguard.remove_cluster(cluster => 'gone');
SELECT * FROM clusters;
SELECT count(*) FROM volguard.services WHERE cluster = 'gone';
SELECT kind, details->'services' AS services, role = CURRENT_USER AS mine, by_age FROM volguard.events WHERE cluster = 'gone' AND kind = 'cluster_removed';

SELECT volguard.remove_cluster('gone'); :code
SELECT volguard.remove_cluster(NULL); :code
SELECT volguard.remove_cluster(''); :code
SELECT volguard.remove_cluster('default'); :code

-- A cluster goes with the row of its last service: when that is deregistered, or removed by a cleanup.
SELECT volguard.register_service('node-1', 'volume', 'gone') AS one, volguard.register_service('node-2', 'volume', 'gone') AS two,
       volguard.register_service('node-3', 'volume', 'gone and disabled') AS three, volguard.register_service('node-4', 'volume', 'gone and named') AS four,
       volguard.register_service('node-5', 'volume', 'gone by cleanup') AS five \gset
SELECT volguard.set_cluster_disabled('gone and disabled', true), volguard.set_cluster_owner('gone and named', CURRENT_USER);
SELECT volguard.deregister_service(:one);
SELECT * FROM clusters;
SELECT volguard.deregister_service(:two), volguard.deregister_service(:three), volguard.deregister_service(:four);
SELECT * FROM clusters;
SET volguard.service_retention = 0;
SELECT volguard.fence_service(:five, 'a test');
SELECT count(*) FROM volguard.cleanup(cluster => 'no such cluster');
RESET volguard.service_retention;
SELECT * FROM clusters;
-- One that is enabled again goes, too.
SELECT volguard.set_cluster_disabled('gone and disabled', false);
SELECT count(*) FROM volguard.auto_cleanup('no such cluster');
SELECT * FROM clusters;
-- With one snapshot it is left to a later call.
SELECT volguard.register_service('node-6', 'volume', 'gone in one snapshot') AS six \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.deregister_service(:six);
COMMIT;
SELECT * FROM clusters;
SELECT count(*) FROM volguard.auto_cleanup('no such cluster');
SELECT * FROM clusters;
SELECT volguard.remove_cluster('gone and named');

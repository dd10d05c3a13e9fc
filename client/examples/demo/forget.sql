-- Takes the demo out of volguard's tables: its services, locks, work and rules. Those who call it are operators.
SELECT volguard.fence_service(service_id, 'the demo is over')
FROM volguard.service_status WHERE cluster = 'volguard_demo' AND state <> 'fenced';

SELECT volguard.reset_resource(resource_type, resource_id)
FROM (SELECT DISTINCT resource_type, resource_id FROM volguard.lock_status
      WHERE resource_type LIKE 'volguard\_demo.%') AS held;

SELECT volguard.untrack_resource(resource_type)
FROM volguard.tracked_resources WHERE resource_type LIKE 'volguard\_demo.%';

SELECT volguard.remove_cluster(cluster) FROM volguard.cluster_status WHERE cluster = 'volguard_demo';

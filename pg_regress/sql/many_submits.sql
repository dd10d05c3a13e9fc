-- 10,000 submits in one transaction: all of them; or, where the lock table is smaller, 53200 and none of them.
CREATE TABLE many_volumes (id integer PRIMARY KEY, status text);
INSERT INTO many_volumes SELECT n, 'available' FROM generate_series(1, 10000) AS n;
SELECT volguard.track_resource('many-vol', 'many_volumes');
SELECT volguard.register_service('node-1', 'manager', 'many', '1 hour') AS one \gset
CREATE FUNCTION many_submit(n integer) RETURNS bigint LANGUAGE sql AS
$$SELECT token FROM volguard.submit_work('many', 'many-vol', n::text, '{"status": "deleting"}', '{"status": "available"}', target => 'many_volumes')$$;
DO $$BEGIN
    PERFORM many_submit(n) FROM generate_series(1, 10000) AS n;
EXCEPTION WHEN out_of_memory THEN
    NULL;
END$$;
SELECT (SELECT count(*) FROM many_volumes WHERE status = 'deleting') = count(*) AS together, count(*) IN (0, 10000) AS all_or_none
FROM volguard.lock_status WHERE resource_type = 'many-vol';
-- A take of many rows takes them in order.
DELETE FROM volguard.workers WHERE resource_type = 'many-vol';
UPDATE many_volumes SET status = 'available';
SELECT count(many_submit(n)) FROM generate_series(1, 500) AS n;
SELECT count(many_submit(n)) FROM generate_series(501, 1000) AS n;
SELECT count(*), min(resource_id::integer), max(resource_id::integer), count(DISTINCT token) AS tokens FROM volguard.next_work(:one, 600);
SELECT count(*), min(resource_id::integer), max(resource_id::integer) FROM volguard.next_work(:one, 10000);
SELECT volguard.reconcile(:one, '{}');
SELECT count(*) AS waiting FROM volguard.lock_status WHERE resource_type = 'many-vol' AND service_id IS NULL;
DELETE FROM volguard.workers WHERE resource_type = 'many-vol';
DROP FUNCTION many_submit;
DROP TABLE many_volumes;

-- cleanup's filters: each alone, and together. What doesn't match stays as it is.
CREATE FUNCTION pg_temp.dead(host text, binary_name text, cluster text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    service bigint := volguard.register_service(host, binary_name, cluster);
BEGIN
    PERFORM volguard.acquire(service, type, id || service) FROM unnest(ARRAY['filter-a', 'filter-b']) AS type, unnest(ARRAY['1-', '2-']) AS id;
    UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = service;
    RETURN service;
END
$$;
SELECT pg_temp.dead('node-1', 'volume', 'filter-1') AS a, pg_temp.dead('node-1', 'backup', 'filter-1') AS b, pg_temp.dead('node-2', 'volume', 'filter-1') AS c, pg_temp.dead('node-4', 'volume', 'filter-2') AS d \gset
UPDATE volguard.workers SET resource_id = left(resource_id, 1), lock_name = service_id::text WHERE service_id IN (:a, :d);
UPDATE volguard.workers SET acquired_at = acquired_at - interval '1 day' WHERE service_id IN (:a, :c) AND resource_type = 'filter-a';
SELECT volguard.set_cluster_disabled('filter-2', true);
-- Runs one cleanup, shows its result and what is left, and rolls it
-- back. Services of other files, and warnings about them, are left out.
CREATE FUNCTION pg_temp.try(arguments text, OUT cleaned text, OUT released bigint, OUT fenced bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT string_agg(format(''%%s/%%s:%%s'', cluster, host, locks_released), '' '' ORDER BY cluster, host, locks_released) FROM volguard.cleanup(%s) WHERE cluster LIKE ''filter-%%''', arguments) INTO cleaned;
    SELECT 16 - count(*) INTO released FROM volguard.workers WHERE resource_type LIKE 'filter-%';
    SELECT count(*) INTO fenced FROM volguard.services WHERE cluster LIKE 'filter-%' AND fenced_at IS NOT NULL;
    RAISE SQLSTATE 'UUUUU';
EXCEPTION WHEN SQLSTATE 'UUUUU' THEN
END
$$;
SET client_min_messages = error;
SELECT filter, t.* FROM (VALUES
    (1, 'service_id => $a'),
    (2, 'cluster => ''filter-1'''),
    (3, 'cluster => ''filter-1'', host => ''node-1'''),
    (4, 'cluster => ''filter-1'', binary_name => ''volume'''),
    (5, 'cluster => ''filter-1'', host => ''node-1'', binary_name => ''backup'''),
    (6, 'host => ''node-2'''),
    (7, 'binary_name => ''backup'', resource_type => ''filter-b'''),
    (8, 'cluster => ''filter-1'', disabled => true'),
    (9, 'disabled => true'),
    (10, 'cluster => ''filter-1'', disabled => false'),
    (11, 'resource_type => ''filter-a'''),
    (12, 'resource_type => ''filter-a'', resource_id => ''1'''),
    (13, 'resource_type => ''no such type'''),
    (14, 'cluster => ''filter-1'', until => now() - interval ''1 hour'''),
    (15, 'cluster => ''filter-1'', until => now()'),
    (16, 'cluster => ''filter-1'', until => ''infinity'''),
    (17, 'cluster => ''filter-1'', until => ''-infinity'''),
    (18, 'cluster => ''filter-1'', resource_type => ''filter-b'', until => now() - interval ''1 hour'''),
    (19, 'cluster => ''filter-1'', host => ''node-3'''),
    (20, 'cluster => ''FILTER-1''')) AS filters (number, filter), pg_temp.try(replace(filter, '$a', :'a')) AS t ORDER BY number;
RESET client_min_messages;
SELECT volguard.set_cluster_disabled('filter-2', false);

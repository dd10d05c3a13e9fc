-- claim_cleanup with its filters, those of a cleanup request: each narrows what is handed out, NULL does not.
\set code '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE filter_volumes (id integer PRIMARY KEY, status text);
SELECT volguard.track_resource('filter', 'filter_volumes');
SELECT volguard.register_service('claimer', 'volume', 'filters') AS claimer, volguard.register_service('other', 'volume', 'filters-2') AS elsewhere \gset
-- Three dead services, and one of another cluster; each with work on resources of two types.
CREATE FUNCTION pg_temp.crashed(host text, binary_name text, cluster text, ids text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    service bigint := volguard.register_service(host, binary_name, cluster, lease => '1 hour');
    id text;
BEGIN
    FOREACH id IN ARRAY ids LOOP
        IF id ~ '^\d+$' THEN
            INSERT INTO filter_volumes VALUES (id::integer, 'copying');
        END IF;
        PERFORM volguard.acquire(service, CASE WHEN id ~ '^\d+$' THEN 'filter' ELSE 'untracked' END, id, status => 'copying');
    END LOOP;
    UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = service;
    RETURN service;
END
$$;
SELECT pg_temp.crashed('node-1', 'volume', 'filters', '{1, 2, a}') AS one, pg_temp.crashed('node-1', 'backup', 'filters', '{3, b}') AS two,
       pg_temp.crashed('node-2', 'volume', 'filters', '{4, c}') AS three, pg_temp.crashed('node-2', 'volume', 'filters-2', '{5}') AS four \gset
UPDATE volguard.workers SET acquired_at = '2026-01-01 UTC' WHERE resource_id IN ('2', 'c');
-- What a call with these filters gets. It is given back. Each is a transaction: what it gives back is locked until then.
CREATE FUNCTION pg_temp.got(filters text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    claimer bigint := (SELECT service_id FROM volguard.services AS s WHERE s.host = 'claimer');
    got text;
BEGIN
    EXECUTE format('SELECT string_agg(resource_id, %L ORDER BY resource_id) FROM volguard.claim_cleanup(%s, 100, %s)', ' ', claimer, filters) INTO got;
    PERFORM volguard.reconcile(claimer, '{}');
    RETURN coalesce(got, '-');
END
$$;
-- Filters of the resource.
SELECT format('SELECT %L AS filters, pg_temp.got(%L)', filters, filters) FROM unnest(ARRAY[
    'resource_type => NULL',
    'resource_type => NULL, request_id => NULL, resource_id => NULL, host => NULL, binary_name => NULL, crashed_service_id => NULL, until => NULL',
    'resource_type => ''untracked''', 'resource_type => ''filter'', resource_id => ''2''', 'resource_type => ''filter'', resource_id => '' 002''',
    'resource_id => ''2''', 'resource_id => '' 002''', 'resource_id => ''b''',
    'resource_type => ''untracked'', resource_id => ''2''', 'resource_id => ''none''', 'resource_id => ''5''',
    'until => ''2026-01-01 UTC''', 'until => ''2025-12-31 UTC''', 'until => ''infinity''', 'resource_id => ''2'', until => ''2026-02-01 UTC''', 'resource_id => ''1'', until => ''2026-02-01 UTC''']) AS filters \gexec
-- Filters of the service that crashed.
SELECT format('SELECT %L AS filters, pg_temp.got(%L)', filters, filters) FROM unnest(ARRAY[
    'host => ''node-1''', 'host => ''node-3''', 'host => ''claimer''', 'binary_name => ''volume''', 'host => ''node-1'', binary_name => ''backup''',
    'host => ''node-2'', resource_id => ''4''', 'host => ''node-1'', resource_id => ''4''', 'host => ''node-2'', until => ''2026-02-01 UTC''']) AS filters \gexec
-- By its id: also with others, of another cluster, alive, the caller itself, unknown.
SELECT pg_temp.got('crashed_service_id => ' || :one) AS one;
SELECT pg_temp.got('crashed_service_id => ' || :two || ', resource_type => ''filter''') AS two;
SELECT pg_temp.got('crashed_service_id => ' || :one || ', resource_id => ''3''') AS other_resource;
SELECT pg_temp.got('crashed_service_id => ' || :one || ', host => ''node-2''') AS other_host;
SELECT pg_temp.got('crashed_service_id => ' || :four) AS other_cluster;
SELECT pg_temp.got('crashed_service_id => ' || :elsewhere) AS alive;
SELECT pg_temp.got('crashed_service_id => ' || :claimer) AS itself;
SELECT pg_temp.got('crashed_service_id => -1') AS unknown;
-- Of work whose claimer has died in turn: that one is the dead service which has it.
SELECT volguard.register_service('node-4', 'volume', 'filters', lease => '1 hour') AS heir \gset
SELECT resource_id, crashed_service_id = :two AS two FROM volguard.claim_cleanup(:heir, resource_id => '3');
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :heir;
SELECT pg_temp.got('crashed_service_id => ' || :two) AS first;
SELECT pg_temp.got('host => ''node-4''') AS of_its_host;
-- A limit, by age.
SELECT count(*), min(resource_id) FROM volguard.claim_cleanup(:claimer, 2, host => 'node-1');
SELECT volguard.reconcile(:claimer, '{}');
-- A rule is applied to what the filters name, and to nothing else.
SELECT volguard.on_crash('filter', 'copying', '{"status": "error"}');
SELECT pg_temp.got('resource_type => ''filter'', resource_id => ''1''');
SELECT id, status FROM filter_volumes ORDER BY id;
-- A repeated call gets what the first one got, whatever its filters say.
SELECT resource_id FROM volguard.claim_cleanup(:claimer, resource_id => 'a', request_id => '00000000-0000-0000-0000-00000000000a');
SELECT resource_id FROM volguard.claim_cleanup(:claimer, resource_id => 'b', host => 'node-9', request_id => '00000000-0000-0000-0000-00000000000a');

SELECT volguard.claim_cleanup(:claimer, max_rows => 0, resource_id => 'a'); :code
SELECT volguard.claim_cleanup(:claimer, resource_id => ''); :code
SELECT volguard.claim_cleanup(:claimer, resource_type => 'filter', resource_id => 'no number'); :code
SELECT volguard.claim_cleanup(:claimer, host => ''); :code
SELECT volguard.claim_cleanup(:claimer, binary_name => repeat('b', 256)); :code
DELETE FROM volguard.workers WHERE cluster LIKE 'filters%';
SELECT volguard.untrack_resource('filter');
DROP TABLE filter_volumes;

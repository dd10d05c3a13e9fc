-- A query takes the rows of next_work wherever it takes those of a function.
CREATE TABLE volumes (id text PRIMARY KEY, status text NOT NULL);
INSERT INTO volumes SELECT 'v-' || n, 'available' FROM generate_series(1, 20) AS n;
SELECT FROM volguard.track_resource('volume', 'volumes');
SELECT volguard.register_service('node-1', 'rows', 'rows', '1 hour') AS service \gset
SELECT count((volguard.submit_work('rows', 'volume', 'v-' || n, '{"status": "busy"}', target => 'volumes',
    details => CASE n % 2 WHEN 0 THEN '{"a": 1}' END::jsonb)).token)
FROM generate_series(1, 20) AS n;

-- In FROM: a field of each type, and NULLs.
SELECT token > work_id AS is_new, resource_type, resource_id, lock_name, status, operation, attempt, crashed_service_id,
    details
FROM volguard.next_work(:service, 2);
-- Once for each row of another table, and beside another function.
SELECT n, w.resource_id, w.ordinality
FROM generate_series(1, 2) AS n, LATERAL volguard.next_work(:service + 0 * n, 2) WITH ORDINALITY AS w;
SELECT r.resource_id, r.generate_series
FROM ROWS FROM (volguard.next_work(:service, 2), generate_series(1, 3)) AS r;
-- Among the columns, whole and a field.
SELECT (w).resource_id, (w).details FROM (SELECT volguard.next_work(:service, 2) AS w OFFSET 0) AS taken;
SELECT (volguard.next_work(:service)).resource_id;
-- In a scalar query, in a function, and behind a cursor that goes back.
SELECT coalesce((SELECT resource_id FROM volguard.next_work(:service)), 'none');
CREATE FUNCTION taken(service bigint) RETURNS SETOF text LANGUAGE plpgsql AS
$$BEGIN RETURN QUERY SELECT w.resource_id FROM volguard.next_work(service, 2) AS w; END$$;
SELECT taken(:service);
BEGIN;
DECLARE taken SCROLL CURSOR FOR SELECT resource_id FROM volguard.next_work(:service, 3);
FETCH ALL FROM taken;
FETCH BACKWARD 2 FROM taken;
COMMIT;
-- A prepared statement, twice.
PREPARE taken AS SELECT resource_id FROM volguard.next_work($1);
EXECUTE taken(:service);
EXECUTE taken(:service);
-- The rest; then there is none, which is no row.
SELECT count(*) FROM volguard.next_work(:service, 100);
SELECT * FROM volguard.next_work(:service);
SELECT (volguard.next_work(:service)).resource_id;
-- Where no set is allowed.
SELECT CASE WHEN true THEN volguard.next_work(1) END;

-- next_work takes what a query over the table puts first, whatever is in the queue.
SELECT setseed(0.42);
CREATE TABLE order_a (id text PRIMARY KEY, status text);
CREATE TABLE order_b (id text PRIMARY KEY, status text);
CREATE TABLE order_c (id text PRIMARY KEY, status text);
INSERT INTO order_a SELECT n, 'idle' FROM generate_series(1, 120) AS n;
INSERT INTO order_b SELECT n, 'idle' FROM generate_series(1, 120) AS n;
INSERT INTO order_c SELECT n, 'idle' FROM generate_series(1, 120) AS n;
SELECT count(volguard.track_resource('order-' || t, ('order_' || t)::regclass)) FROM unnest('{a,b,c}'::text[]) AS t;
SELECT count(volguard.register_service('node-' || n, 'order', 'order', '1 hour')) FROM generate_series(1, 3) AS n;
CREATE FUNCTION chosen(VARIADIC texts text[]) RETURNS text LANGUAGE sql VOLATILE AS
$$SELECT texts[1 + floor(random() * cardinality(texts))::integer]$$;
SELECT count(volguard.submit_work('order', 'order-' || t, n::text, '{"status": "busy"}', target => ('order_' || t)::regclass, host => chosen(NULL, 'node-1', 'node-2', 'else'),
    operation => chosen(NULL, 'x', 'y', 'X', 'y1', 'zzz'), priority => chosen('0', '0', '-3', '10', '100', '-100')::integer)) FROM unnest('{a,b,c}'::text[]) AS t, generate_series(1, 120) AS n;
-- Many with the same time, some of which will be due much later. Work of other clusters and services lies between.
UPDATE volguard.workers SET not_before = chosen('2020-01-01', '2020-01-01', '2021-01-01', '-infinity', '3000-01-01', 'infinity')::timestamptz WHERE cluster = 'order';
UPDATE volguard.workers SET cluster = chosen('orde', 'order2') WHERE cluster = 'order' AND random() < 0.1;

-- What is wrong, a row each.
CREATE TEMP TABLE wrong (turn integer, expected bigint[], taken bigint[]);
CREATE TEMP TABLE calls (rows integer);
DO $$
DECLARE
    hosts text[] := '{node-1,node-2,node-3}';
    slot integer;
    service bigint;
    of_type text;
    of_operations text[];
    most integer;
    expected bigint[];
    taken bigint[];
    tokens bigint[];
BEGIN
    FOR turn IN 11..160 LOOP
        -- A service on a host of another name: what was found for a host before is not known for it, so all lanes are
        -- looked at.
        slot := 1 + floor(random() * 3);
        UPDATE volguard.workers AS w SET host = 'node-' || turn WHERE w.host = hosts[slot];
        hosts[slot] := 'node-' || turn;
        service := volguard.register_service(hosts[slot], 'order', 'order', '1 hour');
        of_type := chosen(NULL, NULL, 'order-a', 'order-b', 'order-c');
        of_operations := string_to_array(chosen(NULL, NULL, 'x', 'y,zzz', 'X', 'y1,none', 'none'), ',');
        most := chosen('1', '1', '2', '7', '50');
        WITH next AS (
            SELECT * FROM volguard.workers AS w
            WHERE w.service_id IS NULL AND w.cluster = 'order' AND w.host IN ('', hosts[slot]) AND w.not_before <= clock_timestamp()
              AND (of_type IS NULL OR w.resource_type = of_type) AND (of_operations IS NULL OR w.operation = ANY (of_operations))
            ORDER BY priority DESC, host = '', not_before, work_id LIMIT most
        )
        SELECT array_agg(n.work_id ORDER BY n.priority DESC, n.host = '', n.not_before, n.work_id) INTO expected FROM next AS n;
        SELECT array_agg(n.work_id ORDER BY n.token), array_agg(n.token) INTO taken, tokens FROM volguard.next_work(service, most, of_type, of_operations) AS n;
        INSERT INTO calls VALUES (coalesce(cardinality(taken), 0));
        IF taken IS DISTINCT FROM expected THEN
            INSERT INTO wrong VALUES (turn, expected, taken);
        END IF;
        -- Some of it goes back, for now, for later, or for another host.
        IF random() < 0.9 THEN
            PERFORM volguard.release_all(tokens);
        ELSIF tokens IS NOT NULL AND random() < 0.5 THEN
            PERFORM volguard.pass_work(tokens[1], chosen('x', 'y'), host => chosen(NULL, hosts[slot]));
        END IF;
    END LOOP;
END
$$;
SELECT * FROM wrong;
SELECT sum(rows) > 500 AS many, count(*) FILTER (WHERE rows = 0) > 5 AS also_none FROM calls;

SELECT count(volguard.release_all(tokens)) FROM (SELECT array_agg(token) FROM volguard.workers WHERE cluster = 'order' AND service_id IS NOT NULL) AS held (tokens);

-- The index by which it is read must be just as it was made. Else work would be given to two services, or to none.
CREATE FUNCTION with_index(columns text, predicate text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found bigint;
BEGIN
    BEGIN
        DROP INDEX volguard.workers_queue_idx;
        EXECUTE format('CREATE INDEX workers_queue_idx ON volguard.workers (%s) WHERE %s', columns, predicate);
        SELECT count(*) INTO found FROM volguard.next_work((SELECT min(service_id) FROM volguard.services WHERE cluster = 'order'));
        RAISE EXCEPTION 'taken: %', found USING ERRCODE = 'VG999';
    EXCEPTION
        WHEN feature_not_supported THEN RETURN 'refused';
        WHEN SQLSTATE 'VG999' THEN RETURN SQLERRM;
    END;
END
$$;
SELECT columns, predicate, with_index(columns, predicate) FROM (VALUES
    ('cluster, host, operation, resource_type, (- priority), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation, resource_type, (- priority), not_before, work_id, token', 'service_id IS NULL'),
    ('cluster, host, operation, resource_type, (- priority), not_before, work_id', 'work_id IS NOT NULL'),
    ('cluster, host, operation, resource_type, (- priority), not_before, work_id', 'service_id IS NOT NULL'),
    ('cluster, host, operation, resource_type, (- priority), not_before, work_id', 'status IS NULL'),
    ('cluster, host, operation, resource_type, (- priority), not_before, work_id', 'service_id IS NULL AND priority < 5'),
    ('cluster, host, operation, resource_type, (- attempt), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation, resource_type, (+ priority), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation, resource_type, (- priority::bigint), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation, resource_type, (status || ''!''), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation DESC, resource_type, (- priority), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation NULLS FIRST, resource_type, (- priority), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host, operation COLLATE "POSIX", resource_type, (- priority), not_before, work_id', 'service_id IS NULL'),
    ('cluster, host text_pattern_ops, operation, resource_type, (- priority), not_before, work_id', 'service_id IS NULL')
) AS made (columns, predicate);

-- What a service has got it is told, or it has not got it.
SELECT min(service_id) AS one FROM volguard.services WHERE cluster = 'order' \gset
CREATE FUNCTION emptied() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.attempt := NULL; RETURN NEW; END$$;
CREATE TRIGGER emptied BEFORE UPDATE ON volguard.workers FOR EACH ROW EXECUTE FUNCTION emptied();
SELECT * FROM volguard.next_work(:one);
DROP TRIGGER emptied ON volguard.workers;
DROP FUNCTION emptied;
SELECT count(*) FROM volguard.next_work(:one);

DELETE FROM volguard.workers WHERE cluster IN ('order', 'orde', 'order2');
SELECT count(volguard.deregister_service(service_id)) FROM volguard.services WHERE cluster = 'order';
DROP FUNCTION with_index, chosen;
SELECT count(volguard.untrack_resource('order-' || t)) FROM unnest('{a,b,c}'::text[]) AS t;
DROP TABLE order_a, order_b, order_c;

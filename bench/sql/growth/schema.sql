-- Takes locks and releases them, each in its own transaction as clients do,
-- without the cost of clients. It uses a hundred keys, which change after a while.
CREATE PROCEDURE cycles(service bigint, times bigint) LANGUAGE plpgsql AS $$
DECLARE
    keys text[];
    token bigint;
BEGIN
    FOR done IN 0..times - 1 LOOP
        IF done % 10000 = 0 THEN
            SELECT pg_catalog.array_agg(pg_catalog.gen_random_uuid()::text) INTO keys FROM pg_catalog.generate_series(1, 100);
        END IF;
        token := volguard.acquire(service, 'volume', keys[1 + done % 100], request_id => pg_catalog.gen_random_uuid());
        COMMIT;
        IF NOT volguard.release(token) THEN
            RAISE EXCEPTION 'lock % was not held', token;
        END IF;
        COMMIT;
    END LOOP;
END
$$;

-- The size of volguard's tables, and how they were used.
CREATE VIEW sizes AS
SELECT relname AS name, pg_catalog.pg_table_size(relid) AS bytes, pg_catalog.pg_indexes_size(relid) AS index_bytes,
       seq_scan AS scans, n_dead_tup AS dead, autovacuum_count AS vacuums
FROM pg_catalog.pg_stat_user_tables
WHERE schemaname = 'volguard' AND relname IN ('workers', 'services');

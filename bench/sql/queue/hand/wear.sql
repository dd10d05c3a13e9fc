-- Submits and does so many hundreds of jobs, in few commits: what they leave behind is that of the same jobs one by one.
CREATE PROCEDURE wear(service bigint, hundreds bigint) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[] := ARRAY(SELECT id FROM volumes ORDER BY id);
    tokens bigint[];
    -- Where the last hundred began, so that filling is not slowed down by what it leaves behind.
    since timestamptz := '-infinity';
    done integer;
BEGIN
    FOR hundred IN 0..hundreds - 1 LOOP
        WITH changed AS (
            UPDATE volumes SET status = 'extending'
            WHERE status = 'available'
              AND id = ANY (ARRAY(SELECT ids[1 + (hundred * 100 + number) % 32000] FROM pg_catalog.generate_series(1, 100) AS number))
            RETURNING id, volumes.status
        )
        INSERT INTO jobs (resource_id, resource_type, cluster, status, operation)
        SELECT id::text, 'volume', 'bench', status, 'extend' FROM changed;
        COMMIT;
        WITH next AS (
            SELECT token FROM jobs
            WHERE service_id IS NULL AND cluster = 'bench' AND operation = 'extend' AND not_before >= since AND priority = 0
            ORDER BY priority, not_before, token LIMIT 100 FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE jobs SET service_id = service, attempt = attempt + 1, updated_at = pg_catalog.clock_timestamp()
            FROM next WHERE jobs.token = next.token
            RETURNING jobs.token, not_before
        )
        SELECT pg_catalog.array_agg(taken.token), pg_catalog.max(not_before) INTO tokens, since FROM taken;
        COMMIT;
        WITH done AS (
            DELETE FROM jobs WHERE token = ANY (tokens) RETURNING resource_id
        )
        UPDATE volumes SET status = 'available', size = size + 1 FROM done WHERE id = resource_id::uuid;
        GET DIAGNOSTICS done = ROW_COUNT;
        COMMIT;
        IF done <> 100 THEN
            RAISE EXCEPTION 'only % jobs of a hundred', done;
        END IF;
    END LOOP;
END
$$;

-- Submits and does so many hundreds of jobs, in few commits: what they leave behind is that of the same jobs one by one.
CREATE PROCEDURE wear(service bigint, hundreds bigint) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[] := ARRAY(SELECT id FROM volumes ORDER BY id);
    token bigint;
    done integer;
BEGIN
    FOR hundred IN 0..hundreds - 1 LOOP
        FOR number IN 1..100 LOOP
            PERFORM volguard.submit_work('bench', 'volume', ids[1 + (hundred * 100 + number) % 32000]::text,
                '{"status": "extending"}', '{"status": "available"}', operation => 'extend');
        END LOOP;
        COMMIT;
        done := 0;
        FOR token IN SELECT n.token FROM volguard.next_work(service, 100, operations => '{extend}') AS n LOOP
            PERFORM volguard.finish_work(token, '{"status": "available", "size": {"add": [{"column": "size"}, 1]}}');
            done := done + 1;
        END LOOP;
        COMMIT;
        IF done <> 100 THEN
            RAISE EXCEPTION 'only % jobs of a hundred', done;
        END IF;
    END LOOP;
END
$$;

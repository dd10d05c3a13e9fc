-- DDL on volguard's own tables that a library could not live with: each verb says so, and no server crashes.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'altered') AS one \gset
SELECT volguard.acquire(:one, 'altered', 'held') AS token \gset
CREATE FUNCTION altered(ddl text, service bigint, held bigint) RETURNS TABLE (verb text, came text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE ddl;
        FOREACH verb IN ARRAY ARRAY['acquire(%1$s, ''altered'', ''new'')', 'release(%2$s)', 'assert_held(%2$s)', 'set_status(%2$s, ''busy'')',
                                    'heartbeat(%1$s)', 'register_service(''node-2'', ''volume'', ''altered'')', 'force_release(%2$s, ''test'')'] LOOP
            BEGIN
                EXECUTE 'SELECT volguard.' || format(verb, service, held);
                came := 'done';
            EXCEPTION WHEN OTHERS THEN
                came := SQLSTATE || ' ' || SQLERRM;
            END;
            verb := split_part(verb, '(', 1);
            RETURN NEXT;
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
    EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
        NULL;
    END;
END
$$;
SELECT * FROM altered('ALTER TABLE volguard.workers RENAME COLUMN details TO notes', :one, :token);
SELECT * FROM altered('ALTER TABLE volguard.services RENAME COLUMN lease TO term', :one, :token);
SELECT * FROM altered('ALTER EXTENSION volguard DROP VIEW volguard.lock_status; DROP VIEW volguard.lock_status; ALTER TABLE volguard.workers DROP COLUMN request_id', :one, :token);
SELECT * FROM altered('ALTER EXTENSION volguard DROP VIEW volguard.waiters; ALTER EXTENSION volguard DROP VIEW volguard.lock_status; ALTER EXTENSION volguard DROP VIEW volguard.cluster_status; ALTER EXTENSION volguard DROP VIEW volguard.service_status; ALTER EXTENSION volguard DROP VIEW volguard.crash_rule_status; DROP VIEW volguard.waiters, volguard.crash_rule_status, volguard.lock_status, volguard.cluster_status, volguard.service_status; ALTER TABLE volguard.workers ALTER COLUMN token TYPE text', :one, :token);
SELECT * FROM altered('ALTER TABLE volguard.workers RENAME TO w; CREATE VIEW volguard.workers AS SELECT * FROM volguard.w', :one, :token);
SELECT * FROM altered('ALTER TABLE volguard.resources RENAME TO r; CREATE VIEW volguard.resources AS SELECT * FROM volguard.r', :one, :token);
SELECT * FROM altered('ALTER TABLE volguard.events RENAME TO e', :one, :token);
SELECT * FROM altered('ALTER SEQUENCE volguard.clock RENAME TO c; CREATE TABLE volguard.clock ()', :one, :token);
SELECT * FROM altered('ALTER TABLE volguard.workers SET UNLOGGED', :one, :token);
-- An index of another shape is not used.
CREATE FUNCTION replaced(ddl text, service bigint, held bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    came text;
BEGIN
    BEGIN
        EXECUTE ddl;
        PERFORM volguard.assert_held(held);
        came := format('taken again: %s, released: %s', volguard.acquire(service, 'altered', 'held') IS NOT NULL, volguard.release(held));
        RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
    EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
        RETURN came;
    END;
END
$$;
SELECT replaced('DROP INDEX volguard.workers_token_key; CREATE UNIQUE INDEX workers_token_key ON volguard.workers (token) WHERE status IS NOT NULL', :one, :token);
SELECT replaced('DROP INDEX volguard.workers_token_key; CREATE INDEX workers_token_key ON volguard.workers USING brin (token)', :one, :token);
SELECT replaced('ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey; CREATE UNIQUE INDEX workers_pkey ON volguard.workers (resource_id, resource_type, lock_name) WHERE status IS NOT NULL', :one, :token);
SELECT replaced('ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey; CREATE UNIQUE INDEX workers_pkey ON volguard.workers (lock_name, resource_type, resource_id)', :one, :token);
SELECT replaced('DROP INDEX volguard.workers_work_key; CREATE UNIQUE INDEX workers_work_key ON volguard.workers (resource_type, resource_id) WHERE status IS NOT NULL', :one, :token);
DROP FUNCTION replaced;
-- Undone, all is as before. A session that knows the tables looks again, too, when only the version has changed with one of them.
SELECT volguard.assert_held(:token);
BEGIN;
UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'volguard';
ALTER TABLE volguard.workers SET (autovacuum_enabled = true);
SELECT volguard.assert_held(:token); :code
ROLLBACK;
SELECT volguard.release(:token);
DROP FUNCTION altered;

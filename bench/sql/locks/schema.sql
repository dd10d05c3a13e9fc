-- Locks as usually written by hand, with care: the columns and the key of volguard.workers, as far as
-- a lock needs them; one unique index, tokens from a sequence, and the vacuum settings of that table.
CREATE SEQUENCE lock_tokens;
CREATE TABLE locks (
    resource_id   text COLLATE "C" NOT NULL,
    resource_type text COLLATE "C" NOT NULL,
    lock_name     text COLLATE "C" NOT NULL,
    cluster       text COLLATE "C" NOT NULL,
    token         bigint           NOT NULL DEFAULT pg_catalog.nextval('lock_tokens'),
    service_id    bigint           NOT NULL,
    acquired_at   timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (resource_id, resource_type, lock_name)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

GRANT SELECT, INSERT, DELETE ON locks TO bench;
GRANT USAGE ON SEQUENCE lock_tokens TO bench;

-- The same number of rows as in volguard.workers.
INSERT INTO locks (cluster, resource_type, resource_id, lock_name, service_id)
SELECT 'bench', 'volume', pg_catalog.gen_random_uuid()::text, '', 0
FROM pg_catalog.generate_series(1, 1000);

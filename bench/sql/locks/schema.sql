-- What a careful person would write by hand for locks: columns as volguard.workers has them, as far as a lock needs them; one
-- unique index, tokens from a sequence, and vacuumed as that table is.
CREATE SEQUENCE lock_tokens;
CREATE TABLE locks (
    cluster       text        NOT NULL,
    resource_type text        NOT NULL,
    resource_id   text        NOT NULL,
    lock_name     text        NOT NULL,
    token         bigint      NOT NULL DEFAULT pg_catalog.nextval('lock_tokens'),
    service_id    bigint      NOT NULL,
    acquired_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (cluster, resource_type, resource_id, lock_name)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

GRANT SELECT, INSERT, DELETE ON locks TO bench;
GRANT USAGE ON SEQUENCE lock_tokens TO bench;

-- Both tables hold locks that nobody gives back meanwhile: with nothing in them the planner would think nothing of reading them
-- whole, and go on with that while dead rows pile up.
INSERT INTO locks (cluster, resource_type, resource_id, lock_name, service_id)
SELECT 'bench', 'volume', pg_catalog.gen_random_uuid()::text, '', 0
FROM pg_catalog.generate_series(1, 1000);

INSERT INTO volguard.workers
    (cluster, resource_type, resource_id, lock_name, token, service_id, acquired_at, updated_at)
SELECT locks.cluster, locks.resource_type, locks.resource_id, locks.lock_name,
       (1::bigint << 44) | pg_catalog.nextval('volguard.token_counter'), holder.service_id, locks.acquired_at, locks.acquired_at
FROM locks,
     volguard.register_service(host => 'holder', binary_name => 'bench', cluster => 'bench', lease => '1 day') AS holder (service_id);

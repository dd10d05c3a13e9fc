-- Names are compared byte by byte. An index in the order of a locale is out of order once the operating system's locale has
-- changed, and a unique index that is lets a second holder in.
CREATE TABLE volguard.clusters (
    name            text COLLATE "C" PRIMARY KEY,
    disabled        boolean          NOT NULL DEFAULT false,
    disabled_reason text,
    created_at      timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE volguard.clusters IS 'The clusters that services have registered in.';

-- A heartbeat changes heartbeat_at alone, which no index knows: with room left on its page the update stays there (HOT).
CREATE TABLE volguard.services (
    service_id    bigint           PRIMARY KEY,
    cluster       text COLLATE "C" NOT NULL REFERENCES volguard.clusters (name),
    host          text COLLATE "C" NOT NULL,
    binary_name   text COLLATE "C" NOT NULL,
    lease         interval         NOT NULL,
    heartbeat_at  timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    registered_at timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    fenced_at     timestamptz,
    registered_by regrole          NOT NULL,
    details       jsonb,
    postponed_until timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE volguard.services IS 'One row per incarnation of a service: a restarted process is a new row.';
COMMENT ON COLUMN volguard.services.postponed_until IS 'Until then auto_cleanup leaves alone the work that it could not repair.';

-- Of one (cluster, host, binary) at most one incarnation is not fenced.
CREATE UNIQUE INDEX services_incarnation_key ON volguard.services (cluster, host, binary_name) WHERE fenced_at IS NULL;

-- No foreign key to services: its check would lock, and so write, the service's row at every acquire. A heavyweight
-- lock on the service keeps fencing apart from acquiring instead.
CREATE TABLE volguard.workers (
    resource_id        text COLLATE "C" NOT NULL,
    resource_type      text COLLATE "C" NOT NULL,
    lock_name          text COLLATE "C" NOT NULL,
    cluster            text COLLATE "C" NOT NULL,
    token              bigint           NOT NULL,
    service_id         bigint           NOT NULL,
    status             text COLLATE "C",
    request_id         uuid,
    acquired_at        timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    details            jsonb,
    crashed_service_id bigint,
    -- Without the cluster: a volume is one volume. What differs most comes first, so that nearly each comparison on the way
    -- down the tree ends at its first column.
    PRIMARY KEY (resource_id, resource_type, lock_name)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE volguard.workers IS 'One row per lock held or piece of work in progress.';
COMMENT ON COLUMN volguard.workers.cluster IS 'Of the service that took it: who may take crashed work over.';
COMMENT ON COLUMN volguard.workers.status IS 'NULL: a plain lock. Otherwise work that needs cleanup if its service dies.';
COMMENT ON COLUMN volguard.workers.crashed_service_id IS 'Whose work this was, when a live service has claimed its cleanup.';

CREATE UNIQUE INDEX workers_token_key ON volguard.workers (token);
-- The work slot: one operation per resource, whatever the cluster.
CREATE UNIQUE INDEX workers_work_key ON volguard.workers (resource_id, resource_type) WHERE status IS NOT NULL;
-- With the token, so that the oldest work of a crashed service is found at once.
CREATE INDEX workers_service_id_idx ON volguard.workers (service_id, token);

-- The low parts of tokens and of service ids. They must fit below the timeline's bits (44 remain), and CACHE 1 keeps the
-- tokens of a key growing.
CREATE SEQUENCE volguard.token_counter AS bigint MAXVALUE 17592186044415 NO CYCLE CACHE 1;
CREATE SEQUENCE volguard.service_counter AS bigint MAXVALUE 17592186044415 NO CYCLE CACHE 1;

CREATE TABLE volguard.resources (
    resource_type text COLLATE "C" PRIMARY KEY,
    target        regclass         NOT NULL,
    id_column     name             NOT NULL,
    status_column name             NOT NULL,
    registered_by regrole          NOT NULL
);
COMMENT ON TABLE volguard.resources IS 'Which table holds the resources of a type.';

CREATE TABLE volguard.crash_rules (
    resource_type text COLLATE "C" NOT NULL REFERENCES volguard.resources (resource_type) ON DELETE CASCADE,
    status        text COLLATE "C" NOT NULL,
    changes      jsonb            NOT NULL,
    registered_by regrole          NOT NULL,
    search_path   text             NOT NULL,
    PRIMARY KEY (resource_type, status)
);
COMMENT ON TABLE volguard.crash_rules IS 'What a crash in a status makes of the resource; run as the role that registered the rule.';

-- In the order of their ids, nearly that of time: what is oldest is found, and trimmed, at the front of the key.
CREATE TABLE volguard.events (
    event_id      bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz      NOT NULL,
    kind          text COLLATE "C" NOT NULL,
    cluster       text COLLATE "C",
    service_id    bigint,
    resource_type text COLLATE "C",
    resource_id   text COLLATE "C",
    lock_name     text COLLATE "C",
    token         bigint,
    role          name             NOT NULL,
    details       jsonb            NOT NULL
);
COMMENT ON TABLE volguard.events IS 'What happened to services and locks that their holders did not do themselves. Bounded in age and number.';

-- Whether a failure was told before: cleanups try again and again.
CREATE INDEX events_rule_failed_idx ON volguard.events (resource_type, at) WHERE kind = 'rule_failed';

-- Where the database lives (the lower 44 bits), and how often it came there from a dump (above). See token.rs.
CREATE SEQUENCE volguard.lineage AS bigint MINVALUE 0 START 0 NO CYCLE CACHE 1;

REVOKE ALL ON ALL TABLES IN SCHEMA volguard FROM PUBLIC;

-- Names are compared byte by byte. An update of the operating system can change the order of a locale. An index in that
-- order is then corrupt, and a corrupt unique index lets a second holder in.
CREATE TABLE volguard.clusters (
    name            text COLLATE "C" PRIMARY KEY,
    disabled        boolean          NOT NULL DEFAULT false,
    disabled_reason text,
    created_at      timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE volguard.clusters IS 'The clusters that services have registered in.';

-- A heartbeat changes only heartbeat_at, which is in no index. With room left on the page, the update stays on it
-- (HOT).
CREATE TABLE volguard.services (
    service_id    bigint           PRIMARY KEY,
    cluster       text COLLATE "C" NOT NULL REFERENCES volguard.clusters (name),
    host          text COLLATE "C" NOT NULL,
    binary_name   text COLLATE "C" NOT NULL,
    -- Without days and months, whose length depends on the calendar.
    lease         interval         NOT NULL CONSTRAINT services_lease_check CHECK (
        lease >= interval '100 ms' AND lease <= interval '8784 hours' AND pg_catalog.date_part('day', lease) = 0
        AND pg_catalog.date_part('month', lease) = 0 AND pg_catalog.date_part('year', lease) = 0
    ),
    heartbeat_at  timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    registered_at timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    fenced_at     timestamptz,
    registered_by regrole          NOT NULL,
    details       jsonb,
    postponed_until timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE volguard.services IS 'One row per incarnation of a service: a restarted process is a new row.';
COMMENT ON COLUMN volguard.services.postponed_until IS 'Until then auto_cleanup does not try again to repair the work of the service.';

-- At most one incarnation of a (cluster, host, binary_name) is not fenced.
CREATE UNIQUE INDEX services_incarnation_key ON volguard.services (cluster, host, binary_name) WHERE fenced_at IS NULL;

-- No foreign key to services: its check would lock, and so write, the service's row at every acquire. Instead the
-- service lock, a heavyweight lock, keeps fencing apart from acquiring.
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
    -- Without the cluster: a volume is one volume. The column that differs most comes first, so that most comparisons
    -- in the index end at it.
    PRIMARY KEY (resource_id, resource_type, lock_name)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE volguard.workers IS 'One row per lock held or piece of work in progress.';
COMMENT ON COLUMN volguard.workers.cluster IS 'The cluster of the service that acquired it: its services may claim the work after a crash.';
COMMENT ON COLUMN volguard.workers.status IS 'NULL: a plain lock. Otherwise work that needs cleanup if its service dies.';
COMMENT ON COLUMN volguard.workers.crashed_service_id IS 'The service that crashed over this work, if a live service has claimed its cleanup.';

CREATE UNIQUE INDEX workers_token_key ON volguard.workers (token);
-- The work slot: one operation at a time per resource, whatever the cluster.
CREATE UNIQUE INDEX workers_work_key ON volguard.workers (resource_id, resource_type) WHERE status IS NOT NULL;
-- With the token, so that the oldest work of a crashed service comes first.
CREATE INDEX workers_service_id_idx ON volguard.workers (service_id, token);

-- Tokens, service ids and event ids: the time in units of 2^-22 s, by which the sequence is moved forward. See
-- token.rs. With CACHE 1 each number is larger than the one before; up to 2^53 a JavaScript number is exact.
CREATE SEQUENCE volguard.clock AS bigint MAXVALUE 9007199254740991 NO CYCLE CACHE 1;
-- Where the sequence was moved last: a fingerprint of server, timeline, database and sequence. See place.rs.
CREATE SEQUENCE volguard.place AS bigint MINVALUE 0 START 0 NO CYCLE CACHE 1;

CREATE TABLE volguard.resources (
    resource_type text COLLATE "C" PRIMARY KEY,
    target        regclass         NOT NULL,
    id_column     name             NOT NULL,
    status_column name             NOT NULL,
    id_type       regtype          NOT NULL,
    registered_by regrole          NOT NULL
);
COMMENT ON TABLE volguard.resources IS 'The tracked resource types: the table that holds the resources of a type.';
COMMENT ON COLUMN volguard.resources.id_type IS 'How ids are spelled. That of the column when it was tracked: DDL on the table changes the spelling of no lock.';

CREATE TABLE volguard.crash_rules (
    resource_type text COLLATE "C" NOT NULL REFERENCES volguard.resources (resource_type) ON DELETE CASCADE,
    status        text COLLATE "C" NOT NULL,
    changes      jsonb            NOT NULL,
    registered_by regrole          NOT NULL,
    search_path   text             NOT NULL,
    PRIMARY KEY (resource_type, status)
);
COMMENT ON TABLE volguard.crash_rules IS 'What a cleanup changes in a resource whose service crashed in a status. A rule runs as the role that registered it.';

-- The order of the ids is nearly that of time: the oldest events, which are trimmed, are at the front of the primary
-- key.
CREATE TABLE volguard.events (
    event_id      bigint           PRIMARY KEY,
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
COMMENT ON TABLE volguard.events IS 'What cleanups and administrators did to services and locks. Bounded in age and number.';

-- Whether the failure of a rule was recorded before: a cleanup tries it again and again.
CREATE INDEX events_rule_failed_idx ON volguard.events (resource_type, at) WHERE kind = 'rule_failed';

REVOKE ALL ON ALL TABLES IN SCHEMA volguard FROM PUBLIC;

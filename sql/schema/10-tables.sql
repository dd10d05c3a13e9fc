-- Names are compared byte by byte. An update of the operating system can change the order of a locale. An index in that
-- order is then corrupt, and a corrupt unique index lets a second holder in.
CREATE TABLE volguard.clusters (
    name            text COLLATE "C" PRIMARY KEY,
    -- By name, here and below: a dump is restored where the role is missing, and then no role has the right.
    owner           name,
    owner_named     boolean          NOT NULL DEFAULT false,
    disabled        boolean          NOT NULL DEFAULT false,
    disabled_reason text,
    created_at      timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE volguard.clusters IS 'The clusters that services have registered in.';
COMMENT ON COLUMN volguard.clusters.owner IS 'The role whose members may register in it: the first that did, or that set_cluster_owner named. NULL: any role.';
COMMENT ON COLUMN volguard.clusters.owner_named IS 'Whether an operator named the owner. Such a cluster stays when its last service is gone.';

-- A heartbeat changes only heartbeat_at, which is in no index. With room left on the page, the update stays on it
-- (HOT).
CREATE TABLE volguard.services (
    service_id    bigint           PRIMARY KEY,
    -- No foreign key: a restore with several jobs loads the tables in any order, and the cluster `default` may be
    -- without a row. Registering locks the row of the cluster.
    cluster       text COLLATE "C" NOT NULL,
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
    registered_by name             NOT NULL,
    owner         name             NOT NULL DEFAULT CURRENT_USER,
    details       jsonb,
    disabled        boolean        NOT NULL DEFAULT false,
    disabled_reason text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE volguard.services IS 'One row per incarnation of a service: a restarted process is a new row.';

COMMENT ON COLUMN volguard.services.owner IS 'The owner of the cluster, or registered_by where the cluster has none. Part of the identity.';

-- At most one incarnation of an identity is not fenced, whatever the cluster: a process that restarts in another one is
-- still the same process.
CREATE UNIQUE INDEX services_identity_key ON volguard.services (owner, host, binary_name) WHERE fenced_at IS NULL;
CREATE INDEX services_cluster_idx ON volguard.services (cluster);

-- No foreign key to services: its check would lock, and so write, the service's row at every acquire. Instead the
-- service lock, a heavyweight lock, keeps fencing apart from acquiring.
CREATE TABLE volguard.workers (
    resource_id        text COLLATE "C" NOT NULL,
    resource_type      text COLLATE "C" NOT NULL,
    lock_name          text COLLATE "C" NOT NULL,
    cluster            text COLLATE "C" NOT NULL,
    token              bigint           NOT NULL,
    service_id         bigint,
    status             text COLLATE "C",
    request_id         uuid,
    acquired_at        timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    details            jsonb,
    crashed_service_id bigint,
    awaiting_reason    text COLLATE "C",
    retry_at           timestamptz,
    work_id            bigint,
    operation          text COLLATE "C",
    host               text COLLATE "C",
    priority           integer,
    not_before         timestamptz,
    attempt            integer,
    retried_from       bigint,
    submitted_by       name,
    submit_request     uuid,
    -- Without the cluster: a volume is one volume. The column that differs most comes first, so that most comparisons
    -- in the index end at it.
    PRIMARY KEY (resource_id, resource_type, lock_name)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE volguard.workers IS 'One row per lock held, piece of work in progress, or piece of work that waits for a service.';
COMMENT ON COLUMN volguard.workers.cluster IS 'The cluster of the service that acquired it: its services may claim the work after a crash.';
COMMENT ON COLUMN volguard.workers.status IS 'NULL: a plain lock. Otherwise work that needs cleanup if its service dies.';
COMMENT ON COLUMN volguard.workers.crashed_service_id IS 'The service that crashed over this work, if a live service has claimed its cleanup.';
COMMENT ON COLUMN volguard.workers.awaiting_reason IS 'Why the last cleanup could not repair this work; NULL if none has tried.';
COMMENT ON COLUMN volguard.workers.retry_at IS 'When auto_cleanup tries again to repair this work.';
COMMENT ON COLUMN volguard.workers.work_id IS 'Submitted work: its number, for good. NULL for locks, and for work that a service has started.';
COMMENT ON COLUMN volguard.workers.operation IS 'Submitted work: what is to be done, for next_work; may be empty.';
COMMENT ON COLUMN volguard.workers.host IS 'Submitted work: the only host whose services may take it; empty for any.';
COMMENT ON COLUMN volguard.workers.priority IS 'Submitted work: a larger one is taken first.';
COMMENT ON COLUMN volguard.workers.not_before IS 'Submitted work: since when it may be taken. Of the same priority, the earlier one goes first.';
COMMENT ON COLUMN volguard.workers.attempt IS 'Submitted work: 1, and one more for each service that crashed over it.';
COMMENT ON COLUMN volguard.workers.retried_from IS 'Submitted work: the service that crashed over its last attempt.';
COMMENT ON COLUMN volguard.workers.submitted_by IS 'Submitted work: the role that submitted it, and may cancel it.';
COMMENT ON COLUMN volguard.workers.submit_request IS 'Submitted work: the request id that it was submitted under.';

CREATE UNIQUE INDEX workers_token_key ON volguard.workers (token);
-- The work slot: one operation at a time per resource, whatever the cluster.
CREATE UNIQUE INDEX workers_work_key ON volguard.workers (resource_id, resource_type) WHERE status IS NOT NULL;
-- With the token, so that the oldest work of a crashed service comes first.
CREATE INDEX workers_service_id_idx ON volguard.workers (service_id, token) WHERE service_id IS NOT NULL;
-- Work that a cleanup could not repair: the next one takes what was not tried for the longest time.
CREATE INDEX workers_retry_idx ON volguard.workers (service_id, retry_at) WHERE retry_at IS NOT NULL;

-- The queue: work that waits for a service. What has the same priority, of one operation on one type, is a lane: its
-- first row is the next one, and if that isn't due no other is. The index is in ascending order throughout, so that a
-- comparison of rows finds the next lane.
CREATE INDEX workers_queue_idx ON volguard.workers (cluster, host, operation, resource_type, (- priority), not_before, work_id)
    WHERE service_id IS NULL;
-- lock_status is asked by the number what has become of a piece of work.
CREATE UNIQUE INDEX workers_work_id_key ON volguard.workers (work_id) WHERE work_id IS NOT NULL;
CREATE UNIQUE INDEX workers_submit_request_key ON volguard.workers (submit_request, submitted_by) WHERE submit_request IS NOT NULL;

-- What became of submitted work that had a request id. A repeated submit must not begin it again.
CREATE TABLE volguard.ended_requests (
    request_id   uuid             NOT NULL,
    submitted_by name             NOT NULL,
    work_id      bigint           NOT NULL,
    resource_type text COLLATE "C" NOT NULL,
    resource_id  text COLLATE "C" NOT NULL,
    outcome      text COLLATE "C" NOT NULL,
    ended_at     timestamptz      NOT NULL,
    PRIMARY KEY (request_id, submitted_by)
);
COMMENT ON TABLE volguard.ended_requests IS 'The request ids of submitted work that has ended, for volguard.request_retention.';
CREATE INDEX ended_requests_ended_at_idx ON volguard.ended_requests (ended_at);

-- By name, as the owners of clusters.
CREATE TABLE volguard.submitters (
    cluster text COLLATE "C" NOT NULL,
    role    name             NOT NULL,
    PRIMARY KEY (cluster, role)
);
COMMENT ON TABLE volguard.submitters IS 'The roles that may submit work to a cluster, beside its owner.';

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
    id_type       regtype          NOT NULL
);
COMMENT ON TABLE volguard.resources IS 'The tracked resource types: the table that holds the resources of a type, whose owner the type belongs to.';
COMMENT ON COLUMN volguard.resources.id_type IS 'How ids are spelled. That of the column when it was tracked: DDL on the table changes the spelling of no lock.';

CREATE TABLE volguard.crash_rules (
    resource_type text COLLATE "C" NOT NULL REFERENCES volguard.resources (resource_type) ON DELETE CASCADE,
    status        text COLLATE "C" NOT NULL,
    changes       jsonb            NOT NULL,
    target        regclass         NOT NULL,
    -- By name: a restore without the role succeeds, and the rule waits for a confirmation.
    owner         name             NOT NULL,
    search_path   text             NOT NULL,
    retry         integer          NOT NULL DEFAULT 0,
    PRIMARY KEY (resource_type, status)
);
COMMENT ON TABLE volguard.crash_rules IS 'What a cleanup changes in a resource whose service crashed in a status. A rule runs as the owner of the table.';
COMMENT ON COLUMN volguard.crash_rules.retry IS 'How often submitted work goes back into its queue before the rule is applied.';
COMMENT ON COLUMN volguard.crash_rules.target IS 'The table that the rule was made for. The rule is suspended while the type is tracked in another one.';
COMMENT ON COLUMN volguard.crash_rules.owner IS 'The owner of the table when the rule was made. The rule is suspended while the table has another one.';

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
    details       jsonb            NOT NULL,
    by_age        boolean          NOT NULL DEFAULT false
);
COMMENT ON TABLE volguard.events IS 'What cleanups and administrators did to services and locks. Bounded in age and number.';
COMMENT ON COLUMN volguard.events.by_age IS 'Kept for its age, however many others come: what an operator or a superuser did.';

-- The events that a limit of their number concerns, and the others. Each call looks at the oldest of both.
CREATE INDEX events_by_number_idx ON volguard.events (event_id) WHERE NOT by_age;
CREATE INDEX events_by_age_idx ON volguard.events (event_id) WHERE by_age;

-- Whether the failure of a rule was recorded before: a cleanup tries it again and again.
CREATE INDEX events_rule_failed_idx ON volguard.events (resource_type, at) WHERE kind = 'rule_failed';

REVOKE ALL ON ALL TABLES IN SCHEMA volguard FROM PUBLIC;

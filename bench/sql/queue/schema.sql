-- The volumes of the operations.
CREATE TABLE volumes (
    id uuid PRIMARY KEY,
    status text NOT NULL,
    size integer NOT NULL
)
-- Room for new versions on each page, so that a long run updates in place and doesn't measure the growth of the table.
WITH (fillfactor = 50);

INSERT INTO volumes
SELECT pg_catalog.md5(number::text)::uuid, 'available', 10
FROM pg_catalog.generate_series(1, 32000) AS number;

SELECT volguard.track_resource('volume', 'volumes');

-- A queue written by hand, as River and graphile-worker have it, with the columns of volguard.workers: one operation at
-- a time per volume, and an index in the order of the queue.
CREATE TABLE jobs (
    resource_id   text COLLATE "C" NOT NULL,
    resource_type text COLLATE "C" NOT NULL,
    lock_name     text COLLATE "C" NOT NULL DEFAULT '',
    cluster       text COLLATE "C" NOT NULL,
    token         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    service_id    bigint,
    status        text COLLATE "C" NOT NULL,
    acquired_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    details       jsonb,
    operation     text COLLATE "C" NOT NULL,
    host          text COLLATE "C" NOT NULL DEFAULT '',
    priority      integer NOT NULL DEFAULT 0,
    not_before    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempt       integer NOT NULL DEFAULT 0,
    submitted_by  name NOT NULL DEFAULT CURRENT_USER,
    PRIMARY KEY (resource_id, resource_type, lock_name)
);
CREATE INDEX jobs_queue_idx ON jobs (cluster, operation, priority, not_before, token) WHERE service_id IS NULL;

-- The same in a table of the shape of volguard.workers, with its indexes: by service, for the work of a manager that
-- has died; by request, for a submit that is repeated; by the number of the work; and one that keeps an operation out
-- while another one is under way.
CREATE TABLE shaped_jobs (LIKE volguard.workers INCLUDING INDEXES)
WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE SEQUENCE shaped_tokens;

-- The tables of a queue of pgmq, as pgmq.create makes them.
CREATE TABLE q_work (
    msg_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    read_ct     integer NOT NULL DEFAULT 0,
    enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    vt          timestamptz NOT NULL,
    message     jsonb,
    headers     jsonb
);
CREATE INDEX q_work_vt_idx ON q_work (vt);
CREATE TABLE a_work (
    msg_id      bigint PRIMARY KEY,
    read_ct     integer NOT NULL DEFAULT 0,
    enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    archived_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    vt          timestamptz NOT NULL,
    message     jsonb,
    headers     jsonb
);
CREATE INDEX a_work_archived_at_idx ON a_work (archived_at);

-- What one commit costs.
CREATE TABLE commits (number bigint NOT NULL);
INSERT INTO commits VALUES (0);

GRANT SELECT, UPDATE ON volumes, commits TO bench;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs, shaped_jobs, q_work, a_work TO bench;
GRANT USAGE ON SEQUENCE shaped_tokens TO bench;

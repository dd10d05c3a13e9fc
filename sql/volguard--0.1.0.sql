DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of this database is %, and volguard needs UTF8', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Names and documents are texts of any language. Create a database with ENCODING UTF8 TEMPLATE template0.';
    END IF;
END
$$;

-- What a role owns in a schema that is there could be called in place of ours.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'volguard') THEN
        RAISE EXCEPTION 'schema volguard exists already'
            USING ERRCODE = 'duplicate_schema', HINT = 'Drop the schema; CREATE EXTENSION creates it.';
    END IF;
END
$$;

-- By this it belongs to the extension: DROP EXTENSION takes it along, with all that was granted on it, and a dump
-- leaves it out. A schema that the control file names would not.
CREATE SCHEMA volguard;

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

-- Every function is VOLATILE and PARALLEL UNSAFE, since it writes or locks. It is called on NULL, since it names the
-- argument that must not be NULL.

CREATE FUNCTION volguard.register_service(host text, binary_name text, cluster text DEFAULT NULL, lease interval DEFAULT NULL, details jsonb DEFAULT NULL)
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_register_service';
COMMENT ON FUNCTION volguard.register_service IS 'Registers a new incarnation of a service, fences the earlier one, and returns the service_id.';

CREATE FUNCTION volguard.heartbeat(service_id bigint)
RETURNS interval VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_heartbeat';
COMMENT ON FUNCTION volguard.heartbeat IS 'Renews the lease and returns its length; VG001 if the service is fenced or unknown.';

CREATE FUNCTION volguard.deregister_service(service_id bigint)
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_deregister_service';
COMMENT ON FUNCTION volguard.deregister_service IS 'Stops a service in order: releases its plain locks, puts submitted work back and returns how many rows of other work are left for a cleanup.';

CREATE FUNCTION volguard.fence_service(service_id bigint, reason text)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_fence_service';
COMMENT ON FUNCTION volguard.fence_service IS 'Declares a service dead for ever, alive or not; leaves an event with the reason. False if it is fenced or unknown.';

CREATE FUNCTION volguard.update_service(service_id bigint, details jsonb DEFAULT NULL, disabled boolean DEFAULT NULL, disabled_reason text DEFAULT NULL)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_update_service';
COMMENT ON FUNCTION volguard.update_service IS 'Sets the details of a service, or marks it as one that takes no new work. What is NULL stays. VG001 if the service is fenced or unknown.';

CREATE FUNCTION volguard.set_cluster_disabled(cluster text, disabled boolean, reason text DEFAULT NULL)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_cluster_disabled';
COMMENT ON FUNCTION volguard.set_cluster_disabled IS 'Marks a cluster as disabled, or enabled again. The views show the mark and a cleanup can select by it; its services get no work of next_work.';

CREATE FUNCTION volguard.set_cluster_owner(cluster text, owner name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_cluster_owner';
COMMENT ON FUNCTION volguard.set_cluster_owner IS 'Gives a cluster to a role, whose members alone may register in it; fences the services of the earlier owner. Makes the cluster if there is none.';

CREATE FUNCTION volguard.remove_cluster(cluster text)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_remove_cluster';
COMMENT ON FUNCTION volguard.remove_cluster IS 'Removes a cluster, its owner and its fenced services. Refused while a service is not fenced, or has left locks or work.';

CREATE FUNCTION volguard.acquire(service_id bigint, resource_type text, resource_id text, lock_name text DEFAULT '', status text DEFAULT NULL,
                                 wait interval DEFAULT '0', request_id uuid DEFAULT NULL, details jsonb DEFAULT NULL)
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_acquire';
COMMENT ON FUNCTION volguard.acquire IS 'Takes a lock and returns its token, or NULL if it was not free within wait.';

CREATE FUNCTION volguard.acquire_all(service_id bigint, locks jsonb, wait interval DEFAULT '0', request_id uuid DEFAULT NULL)
RETURNS TABLE (resource_type text, resource_id text, lock_name text, token bigint)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_acquire_all';
COMMENT ON FUNCTION volguard.acquire_all IS 'Takes all locks of a list and returns their tokens, or no row if they were not all free within wait.';

CREATE FUNCTION volguard.set_status(token bigint, status text, expected text DEFAULT NULL)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_status';
COMMENT ON FUNCTION volguard.set_status IS 'Sets the status of the work under a lock; NULL makes it a plain lock. VG002 if the token is not held, 55000 if the status is not as expected.';

CREATE FUNCTION volguard.release(token bigint)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release';
COMMENT ON FUNCTION volguard.release IS 'Releases a lock; false if the token is not held (any more).';

CREATE FUNCTION volguard.release_all(tokens bigint[])
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release_all';
COMMENT ON FUNCTION volguard.release_all IS 'Releases many locks in one commit and returns how many of them were held.';

CREATE FUNCTION volguard.assert_held(token bigint)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_assert_held';
COMMENT ON FUNCTION volguard.assert_held IS 'Checks that a token is held, and keeps it held until the commit. VG002 if it is not held.';

CREATE FUNCTION volguard.reconcile(service_id bigint, tokens bigint[])
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_reconcile';
COMMENT ON FUNCTION volguard.reconcile IS 'Releases the locks of a service that tokens does not list, and returns how many. Call it while no acquire is in flight.';

CREATE FUNCTION volguard.release_requests(service_id bigint, request_ids uuid[])
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release_requests';
COMMENT ON FUNCTION volguard.release_requests IS 'Gives back what these requests of a service have taken and still hold, and returns how many locks. Not for requests of start_work.';

CREATE FUNCTION volguard.force_release(token bigint, reason text)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_force_release';
COMMENT ON FUNCTION volguard.force_release(bigint, text) IS 'Takes one lock away from its holder, with or without work; leaves an event with the reason.';

CREATE FUNCTION volguard.force_release(resource_type text, resource_id text, lock_name text, reason text)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_force_release__by_key';
COMMENT ON FUNCTION volguard.force_release(text, text, text, text) IS 'The same by the key of the lock; lock_name may be empty or NULL.';

CREATE FUNCTION volguard.reset_resource(resource_type text, resource_id text)
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_reset_resource';
COMMENT ON FUNCTION volguard.reset_resource IS 'Deletes all locks and work of a resource, in all clusters; leaves events. Returns the number of rows.';

CREATE TYPE volguard.update_result AS (outcome text, updated bigint, new_row jsonb, unmet text[]);
COMMENT ON TYPE volguard.update_result IS
    'outcome: updated, unmet, not_found or fenced. new_row: the whole row as updated. unmet: all conditions that failed.';

CREATE FUNCTION volguard.conditional_update(target regclass, key jsonb, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                            fence bigint DEFAULT NULL, filter_sql text DEFAULT NULL, changes_sql jsonb DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_conditional_update';
COMMENT ON FUNCTION volguard.conditional_update IS 'Updates the row of a key if all conditions hold, otherwise returns those that failed. Runs with the caller''s privileges.';

-- Not STRICT, so that NULL is a value. Without a SET clause, so that the planner can inline the functions and use an
-- index on value. An inlined body is read under the search_path of the session that runs the query, also where a view
-- or a policy calls the function. So every name and operator carries its schema. A type whose own = is in another
-- schema is compared as the type of pg_catalog to which it is cast (citext as text), or not at all.
CREATE FUNCTION volguard.any_of(value anyelement, VARIADIC list anyarray)
RETURNS boolean IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT LANGUAGE sql AS $$
    SELECT (value IS DISTINCT FROM NULL AND value OPERATOR(pg_catalog.=) ANY (pg_catalog.array_remove(coalesce(list, '{}'), NULL)))
        OR (value IS NOT DISTINCT FROM NULL AND pg_catalog.array_position(list, NULL) IS NOT NULL)
$$;
COMMENT ON FUNCTION volguard.any_of IS 'NULL-safe IN: NULL is a value like any other. Never NULL.';

CREATE FUNCTION volguard.none_of(value anyelement, VARIADIC list anyarray)
RETURNS boolean IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT LANGUAGE sql AS $$
    SELECT NOT (
           (value IS DISTINCT FROM NULL AND value OPERATOR(pg_catalog.=) ANY (pg_catalog.array_remove(coalesce(list, '{}'), NULL)))
        OR (value IS NOT DISTINCT FROM NULL AND pg_catalog.array_position(list, NULL) IS NOT NULL))
$$;
COMMENT ON FUNCTION volguard.none_of IS 'NULL-safe NOT IN: NULL is a value like any other. Never NULL.';

CREATE FUNCTION volguard.track_resource(resource_type text, target regclass, id_column name DEFAULT 'id', status_column name DEFAULT 'status')
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_track_resource';
COMMENT ON FUNCTION volguard.track_resource IS 'Sets the table that holds the resources of a type. Needs the privileges of the owner of that table.';

CREATE FUNCTION volguard.untrack_resource(resource_type text)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_untrack_resource';
COMMENT ON FUNCTION volguard.untrack_resource IS 'Forgets a type and its crash rules. Needs the privileges of the owner of its table, unless the table is gone.';

CREATE FUNCTION volguard.on_crash(resource_type text, status text, changes jsonb, retry integer DEFAULT 0)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_on_crash';
COMMENT ON FUNCTION volguard.on_crash IS 'Sets what a cleanup changes in the row of a resource whose service crashed in a status. NULL changes drops the rule. Submitted work goes back into its queue first, as often as retry says.';

CREATE FUNCTION volguard.cleanup(service_id bigint DEFAULT NULL, cluster text DEFAULT NULL, host text DEFAULT NULL, binary_name text DEFAULT NULL,
                                 disabled boolean DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (service_id bigint, cluster text, host text, state text, locks_released bigint, resources_cleaned bigint, resources_stale bigint, awaiting bigint)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_cleanup';
COMMENT ON FUNCTION volguard.cleanup IS 'One round of a cleanup: fences dead services and frees their plain locks, or repairs their work by its crash rules. If the last row has the state more, call it again in another transaction.';

-- Commits each round before the next one begins. COMMIT forbids a SET clause, so each name and operator has its schema.
CREATE PROCEDURE volguard.run_cleanup(service_id bigint DEFAULT NULL, cluster text DEFAULT NULL, host text DEFAULT NULL, binary_name text DEFAULT NULL,
                                      disabled boolean DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL, until timestamptz DEFAULT NULL,
                                      INOUT services bigint DEFAULT NULL, INOUT locks_released bigint DEFAULT NULL, INOUT resources_cleaned bigint DEFAULT NULL,
                                      INOUT resources_stale bigint DEFAULT NULL, INOUT awaiting bigint DEFAULT NULL, INOUT busy bigint DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    -- What fails is tried again after ten minutes. A run that takes longer ends with a round that did nothing.
    patience constant pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '10 min';
    -- The services that something was done for, and how much work each has left.
    work_left pg_catalog.jsonb := '{}';
    this pg_catalog.record;
BEGIN
    locks_released := 0;
    resources_cleaned := 0;
    resources_stale := 0;
    LOOP
        SELECT coalesce(pg_catalog.sum(c.locks_released), 0) AS released, coalesce(pg_catalog.sum(c.resources_cleaned), 0) AS cleaned,
               coalesce(pg_catalog.sum(c.resources_stale), 0) AS stale,
               coalesce(pg_catalog.jsonb_object_agg(c.service_id, c.awaiting) FILTER (WHERE c.state OPERATOR(pg_catalog.<>) ALL (ARRAY['busy', 'more'])), '{}') AS work_left,
               pg_catalog.count(1) FILTER (WHERE c.state OPERATOR(pg_catalog.=) 'busy') AS busy,
               coalesce(pg_catalog.bool_or(c.state OPERATOR(pg_catalog.=) 'more'), false) AS more
        INTO this
        FROM volguard.cleanup(run_cleanup.service_id, run_cleanup.cluster, run_cleanup.host, run_cleanup.binary_name, run_cleanup.disabled,
                              run_cleanup.resource_type, run_cleanup.resource_id, run_cleanup.until) AS c;
        locks_released := locks_released OPERATOR(pg_catalog.+) this.released;
        resources_cleaned := resources_cleaned OPERATOR(pg_catalog.+) this.cleaned;
        resources_stale := resources_stale OPERATOR(pg_catalog.+) this.stale;
        work_left := work_left OPERATOR(pg_catalog.||) this.work_left;
        busy := this.busy;
        COMMIT;
        EXIT WHEN NOT this.more OR (this.released OPERATOR(pg_catalog.+) this.cleaned OPERATOR(pg_catalog.+) this.stale) OPERATOR(pg_catalog.=) 0
            AND pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) patience;
    END LOOP;
    SELECT pg_catalog.count(1), coalesce(pg_catalog.sum(w.value::bigint), 0) INTO services, awaiting FROM pg_catalog.jsonb_each_text(work_left) AS w;
END
$$;
COMMENT ON PROCEDURE volguard.run_cleanup IS 'Cleans up after dead services in as many rounds of cleanup as it takes, each in a transaction of its own.';

CREATE FUNCTION volguard.auto_cleanup(cluster text DEFAULT NULL)
RETURNS TABLE (service_id bigint, cluster text, host text, state text, locks_released bigint, resources_cleaned bigint, resources_stale bigint, awaiting bigint)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_auto_cleanup';
COMMENT ON FUNCTION volguard.auto_cleanup IS 'One round of a cleanup, for a periodic task: as cleanup, but what has failed is tried again only after a while.';

CREATE FUNCTION volguard.repair(resource_type text, resource_id text)
RETURNS text VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_repair';
COMMENT ON FUNCTION volguard.repair IS 'Applies the crash rule to the work on one resource, which is taken from its service, alive or not: cleaned, or stale if the resource is gone or has another status.';

CREATE FUNCTION volguard.claim_cleanup(service_id bigint, max_rows integer DEFAULT 1, resource_type text DEFAULT NULL, request_id uuid DEFAULT NULL,
                                       resource_id text DEFAULT NULL, host text DEFAULT NULL, binary_name text DEFAULT NULL,
                                       crashed_service_id bigint DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (token bigint, resource_type text, resource_id text, lock_name text, status text, crashed_service_id bigint, details jsonb)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_claim_cleanup';
COMMENT ON FUNCTION volguard.claim_cleanup IS 'Hands work of the cluster''s crashed services, which no crash rule repairs, to a live service, with new tokens.';

CREATE FUNCTION volguard.finish_cleanup(token bigint)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_finish_cleanup';
COMMENT ON FUNCTION volguard.finish_cleanup IS 'Ends claimed work that is cleaned up, and releases its lock; false if the token is not held (any more).';

CREATE FUNCTION volguard.abandon_cleanup(token bigint)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_abandon_cleanup';
COMMENT ON FUNCTION volguard.abandon_cleanup IS 'Gives claimed work back, so that it can be claimed again; false if the token is not held (any more).';

CREATE TYPE volguard.work_result AS (token bigint, outcome text, new_row jsonb, unmet text[]);
COMMENT ON TYPE volguard.work_result IS
    'outcome: updated, unmet, not_found or locked. token: of the lock, new_row: the whole row as updated. unmet: all conditions that failed.';

CREATE FUNCTION volguard.start_work(service_id bigint, resource_type text, resource_id text, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                    lock_name text DEFAULT '', wait interval DEFAULT '0', request_id uuid DEFAULT NULL, target regclass DEFAULT NULL,
                                    filter_sql text DEFAULT NULL, changes_sql jsonb DEFAULT NULL)
RETURNS volguard.work_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_start_work';
COMMENT ON FUNCTION volguard.start_work IS 'Takes a lock and updates the row of a tracked resource if all conditions hold, both or neither. The lock gets the status of the row.';

CREATE FUNCTION volguard.finish_work(token bigint, changes jsonb, target regclass DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_finish_work';
COMMENT ON FUNCTION volguard.finish_work IS 'Updates the row of the resource that a token locks and releases the lock, both or neither. Runs with the caller''s privileges.';

CREATE FUNCTION volguard.submit_work(cluster text, resource_type text, resource_id text, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                     operation text DEFAULT NULL, host text DEFAULT NULL, details jsonb DEFAULT NULL, lock_name text DEFAULT '',
                                     request_id uuid DEFAULT NULL, priority integer DEFAULT 0, not_before timestamptz DEFAULT NULL,
                                     target regclass DEFAULT NULL, filter_sql text DEFAULT NULL, changes_sql jsonb DEFAULT NULL)
RETURNS volguard.work_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_submit_work';
COMMENT ON FUNCTION volguard.submit_work IS 'Updates the row of a tracked resource if all conditions hold, and queues work on it for the services of a cluster, both or neither. The token is the number of the work.';

CREATE FUNCTION volguard.next_work(service_id bigint, max_rows integer DEFAULT 1, resource_type text DEFAULT NULL, operations text[] DEFAULT NULL,
                                   wait interval DEFAULT '0', request_id uuid DEFAULT NULL)
RETURNS TABLE (token bigint, work_id bigint, resource_type text, resource_id text, lock_name text, status text, operation text, attempt integer,
               crashed_service_id bigint, details jsonb)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_next_work';
COMMENT ON FUNCTION volguard.next_work IS 'Hands work that was submitted to the cluster of a service to that service, with new tokens. Waits 30 s at most. By its request id, release_requests puts back what a call got.';

CREATE FUNCTION volguard.cancel_work(work_id bigint, changes jsonb DEFAULT NULL, target regclass DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_cancel_work';
COMMENT ON FUNCTION volguard.cancel_work IS 'Takes submitted work out of the queue while it waits, and updates the row of its resource, both or neither. Outcome fenced: it does not wait.';

CREATE FUNCTION volguard.pass_work(token bigint, operation text, cluster text DEFAULT NULL, host text DEFAULT NULL, changes jsonb DEFAULT '{}',
                                   details jsonb DEFAULT NULL, target regclass DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_pass_work';
COMMENT ON FUNCTION volguard.pass_work IS 'Puts work that the service has back into a queue, for the next step elsewhere, and updates the row of its resource. The lock stays taken. Outcome fenced: the token is not held.';

CREATE FUNCTION volguard.grant_submit(cluster text, role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_grant_submit';
COMMENT ON FUNCTION volguard.grant_submit IS 'Lets a role submit work to a cluster, beside the cluster''s owner.';

CREATE FUNCTION volguard.revoke_submit(cluster text, role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_revoke_submit';
COMMENT ON FUNCTION volguard.revoke_submit IS 'Takes back what grant_submit granted.';

-- A view calls a function with the rights of the role that reads it.
CREATE FUNCTION volguard.waiting()
RETURNS TABLE (pid integer, role text, waits_for text, queue bigint, place integer, service_id bigint, resource_type text, resource_id text,
               lock_name text, clipped boolean, since timestamptz, behind_pid integer, behind_state text)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_waiting';
COMMENT ON FUNCTION volguard.waiting IS 'The calls that wait at this moment, as their sessions show it. The view waiters says more.';

CREATE FUNCTION volguard.wait_queue(resource_type text, resource_id text, lock_name text DEFAULT '')
RETURNS bigint IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_wait_queue';
COMMENT ON FUNCTION volguard.wait_queue IS 'The number of a lock''s wait queue, as pg_locks has it in classid and objid; with NULL for lock_name that of the work slot.';

CREATE FUNCTION volguard.why(resource_type text, resource_id text, lock_name text DEFAULT '')
RETURNS SETOF text VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_why';
COMMENT ON FUNCTION volguard.why IS 'Says in sentences who holds a lock, who waits for it, what a cleanup would do and what an operator can do.';

CREATE VIEW volguard.service_status AS
SELECT s.host, s.binary_name,
       CASE WHEN s.fenced_at IS NOT NULL THEN 'fenced'
            -- Values that volguard never writes, and whose sum may be out of range. As `sane!` of store/sql.rs.
            WHEN (s.heartbeat_at > '1000-01-01 00:00:00+00' AND s.heartbeat_at < '9999-01-01 00:00:00+00'
                  AND s.lease >= interval '100 ms' AND s.lease <= interval '8784 hours'
                  AND pg_catalog.date_part('day', s.lease) = 0 AND pg_catalog.date_part('month', s.lease) = 0
                  AND pg_catalog.date_part('year', s.lease) = 0) IS NOT TRUE THEN 'broken'
            -- A heartbeat that lies further ahead than a lease is of a clock that was set back since.
            WHEN s.heartbeat_at + s.lease > pg_catalog.clock_timestamp()
                AND s.heartbeat_at - s.lease <= pg_catalog.clock_timestamp() THEN 'up'
            ELSE 'down' END AS state,
       CASE WHEN pg_catalog.isfinite(s.heartbeat_at)
            THEN pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - s.heartbeat_at) END AS silent_for,
       (SELECT pg_catalog.count(*) FROM volguard.workers AS w WHERE w.service_id = s.service_id) AS held_locks,
       s.lease, s.service_id, s.cluster, s.heartbeat_at, s.registered_at, s.fenced_at, s.registered_by, s.details, s.owner,
       s.disabled, s.disabled_reason
FROM volguard.services AS s;
COMMENT ON VIEW volguard.service_status IS 'Every incarnation of a service: up, down (its lease is over), broken (a superuser has changed its lease or heartbeat) or fenced, and how many locks it holds.';

CREATE VIEW volguard.lock_status AS
SELECT w.resource_type, w.resource_id, w.lock_name, w.status, s.host,
       CASE WHEN w.service_id IS NOT NULL THEN coalesce(s.state = 'up', false) END AS alive,
       CASE WHEN pg_catalog.isfinite(w.acquired_at)
            THEN pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - w.acquired_at) END AS held_for,
       w.awaiting_reason, w.retry_at,
       w.token, w.service_id, s.binary_name, w.cluster, w.acquired_at, w.updated_at, w.request_id, w.crashed_service_id, w.details,
       w.work_id, nullif(w.operation, '') AS operation, nullif(w.host, '') AS for_host, w.priority, w.not_before, w.attempt, w.submitted_by
FROM volguard.workers AS w
-- LATERAL, so that each service is found by its key: the view of services can't be merged into this one, since the clock is volatile.
LEFT JOIN LATERAL (
    SELECT i.host, i.binary_name, i.state FROM volguard.service_status AS i WHERE i.service_id = w.service_id
) AS s ON true;
COMMENT ON VIEW volguard.lock_status IS 'Every lock and piece of work: its holder, whether that is alive, since when, and why work still waits for its cleanup.';

CREATE VIEW volguard.cluster_status AS
SELECT c.name AS cluster,
       CASE WHEN pg_catalog.count(*) FILTER (WHERE s.state = 'up') > 0 THEN 'up' ELSE 'down' END AS state,
       pg_catalog.count(*) FILTER (WHERE s.state = 'up') AS services_up,
       pg_catalog.count(*) FILTER (WHERE s.state = 'down') AS services_down,
       coalesce(pg_catalog.sum(s.held_locks), 0)::bigint AS held_locks,
       c.disabled, c.disabled_reason,
       pg_catalog.count(*) FILTER (WHERE s.state IN ('up', 'down')) AS services,
       pg_catalog.max(s.heartbeat_at) AS last_heartbeat, c.owner,
       (SELECT pg_catalog.count(*) FROM volguard.workers AS w WHERE w.cluster = c.name AND w.service_id IS NULL) AS waiting_work
FROM volguard.clusters AS c
LEFT JOIN volguard.service_status AS s ON s.cluster = c.name
GROUP BY c.name;
COMMENT ON VIEW volguard.cluster_status IS 'Every cluster: up if one of its services is up, how many are up and down, the last heartbeat.';

CREATE VIEW volguard.waiters AS
SELECT coalesce(h.resource_type, q.resource_type) AS resource_type, coalesce(h.resource_id, q.resource_id) AS resource_id,
       coalesce(h.lock_name, q.lock_name) AS lock_name, q.place, s.host, q.pid,
       pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - q.since) AS waited,
       t.host AS holder_host,
       CASE WHEN h.service_id IS NOT NULL THEN coalesce(t.state = 'up', false) END AS holder_alive,
       CASE WHEN q.behind_pid = pg_catalog.pg_backend_pid() THEN false WHEN h.token IS NOT NULL THEN true
            WHEN q.behind_pid IS NOT NULL THEN false END AS committed,
       q.waits_for, q.service_id, q.role, q.since,
       h.token AS holder_token, h.service_id AS holder_service_id, h.status AS holder_status,
       q.behind_pid, q.behind_state, q.clipped AND h.token IS NULL AS clipped, q.queue
FROM volguard.waiting() AS q
LEFT JOIN LATERAL (
    SELECT w.resource_type, w.resource_id, w.lock_name, w.token, w.service_id, w.status FROM volguard.workers AS w
    WHERE NOT q.clipped AND w.resource_id = q.resource_id AND w.resource_type = q.resource_type
      AND CASE q.waits_for WHEN 'work slot' THEN w.status IS NOT NULL ELSE w.lock_name = q.lock_name END
    UNION ALL
    -- The session could not show all of the names: the row is found by the number of its queue.
    SELECT w.resource_type, w.resource_id, w.lock_name, w.token, w.service_id, w.status FROM volguard.workers AS w
    WHERE q.clipped AND q.waits_for IN ('lock', 'work slot')
      AND (q.waits_for = 'lock' OR w.status IS NOT NULL)
      AND volguard.wait_queue(w.resource_type, w.resource_id, CASE q.waits_for WHEN 'lock' THEN w.lock_name END) = q.queue
    LIMIT 1
) AS h ON true
LEFT JOIN volguard.services AS s ON s.service_id = q.service_id
LEFT JOIN LATERAL (
    SELECT i.host, i.state FROM volguard.service_status AS i WHERE i.service_id = h.service_id
) AS t ON true
ORDER BY q.waits_for, q.queue, q.place;
COMMENT ON VIEW volguard.waiters IS 'Every call that waits: for which lock, at which place, since when, and who holds it.';

CREATE VIEW volguard.event_log AS
SELECT e.event_id, e.at, e.kind, e.cluster, e.service_id, e.resource_type, e.resource_id, e.lock_name, e.token, e.role, e.details
FROM volguard.events AS e;
COMMENT ON VIEW volguard.event_log IS 'Every event: its kind (fenced, cleaned, repaired, forced, reset, released, rule_failed, disabled, enabled, owner_changed, cluster_removed or session_ended), when, by which role, and on what.';

CREATE VIEW volguard.tracked_resources AS
SELECT r.resource_type, r.target AS target, c.oid IS NOT NULL AS target_exists,
       pg_catalog.pg_get_userbyid(c.relowner) AS owner, r.id_column, r.status_column, r.id_type,
       (SELECT pg_catalog.count(*) FROM volguard.crash_rules AS k WHERE k.resource_type = r.resource_type) AS crash_rules
FROM volguard.resources AS r
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.target;
COMMENT ON VIEW volguard.tracked_resources IS 'Every tracked resource type: its table, and the owner of that, whom the type belongs to.';
COMMENT ON COLUMN volguard.tracked_resources.resource_type IS 'The type.';
COMMENT ON COLUMN volguard.tracked_resources.target IS 'The table that holds its resources.';
COMMENT ON COLUMN volguard.tracked_resources.target_exists IS 'False once the table was dropped: then the type can be untracked, or tracked in another table.';
COMMENT ON COLUMN volguard.tracked_resources.owner IS 'The owner of the table, whom the type belongs to. Crash rules run as this role.';
COMMENT ON COLUMN volguard.tracked_resources.id_column IS 'The column that has the ids of the resources.';
COMMENT ON COLUMN volguard.tracked_resources.status_column IS 'The column that has their status. Work on them needs UPDATE on it.';
COMMENT ON COLUMN volguard.tracked_resources.id_type IS 'How ids are spelled: as this type writes them.';
COMMENT ON COLUMN volguard.tracked_resources.crash_rules IS 'How many crash rules the type has.';

CREATE VIEW volguard.crash_rule_status AS
SELECT k.resource_type, k.status, k.changes, k.target AS made_for, k.owner,
       CASE WHEN c.oid IS NULL THEN 'the table does not exist any more'
            WHEN k.target <> r.target THEN 'the type is tracked in another table now'
            WHEN k.owner <> pg_catalog.pg_get_userbyid(c.relowner) THEN 'the table has another owner now'
       END AS suspended,
       coalesce(w.awaiting, 0) AS awaiting, w.last_reason, w.retry_at, k.search_path, k.retry
FROM volguard.crash_rules AS k
JOIN volguard.resources AS r ON r.resource_type = k.resource_type
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.target
-- Grouped once for all rules: no index finds the work of one type.
LEFT JOIN (
    SELECT i.resource_type, i.status, pg_catalog.count(*) AS awaiting,
           (pg_catalog.array_agg(i.awaiting_reason ORDER BY i.retry_at DESC NULLS LAST, i.token DESC))[1] AS last_reason,
           pg_catalog.min(i.retry_at) AS retry_at
    FROM volguard.workers AS i
    WHERE i.status IS NOT NULL AND i.awaiting_reason IS NOT NULL
    GROUP BY i.resource_type, i.status
) AS w ON w.resource_type = k.resource_type AND w.status = k.status;
COMMENT ON VIEW volguard.crash_rule_status IS 'Every crash rule: whether it may run, and the work that it could not repair.';
COMMENT ON COLUMN volguard.crash_rule_status.resource_type IS 'The type of the resources that the rule repairs.';
COMMENT ON COLUMN volguard.crash_rule_status.status IS 'The status of the work, and of the resource, that it repairs.';
COMMENT ON COLUMN volguard.crash_rule_status.changes IS 'What it sets in the row of the resource.';
COMMENT ON COLUMN volguard.crash_rule_status.made_for IS 'The table that it was made for.';
COMMENT ON COLUMN volguard.crash_rule_status.owner IS 'The owner of that table when it was made.';
COMMENT ON COLUMN volguard.crash_rule_status.suspended IS 'Why the rule must not run; NULL if it may. on_crash, called again, confirms it.';
COMMENT ON COLUMN volguard.crash_rule_status.awaiting IS 'How many pieces of work a cleanup has tried to repair by it in vain.';
COMMENT ON COLUMN volguard.crash_rule_status.last_reason IS 'Why the last of them was not repaired.';
COMMENT ON COLUMN volguard.crash_rule_status.retry_at IS 'When auto_cleanup tries the first of them again.';
COMMENT ON COLUMN volguard.crash_rule_status.retry IS 'How often submitted work goes back into its queue before the rule is applied.';
COMMENT ON COLUMN volguard.crash_rule_status.search_path IS 'The search_path that the triggers of the table run under.';

-- What the columns mean; those of tables as far as 10-tables.sql has not said it.
COMMENT ON COLUMN volguard.clusters.name IS 'The name that services register with.';
COMMENT ON COLUMN volguard.clusters.disabled IS 'Marked as out of use; the mark refuses no call.';
COMMENT ON COLUMN volguard.clusters.disabled_reason IS 'Why it is disabled; NULL if it is not.';
COMMENT ON COLUMN volguard.clusters.created_at IS 'When its first service registered.';

COMMENT ON COLUMN volguard.services.service_id IS 'The number of this incarnation; it never comes back.';
COMMENT ON COLUMN volguard.services.cluster IS 'Its cluster: whose work it may claim.';
COMMENT ON COLUMN volguard.services.host IS 'The host that it registered with.';
COMMENT ON COLUMN volguard.services.binary_name IS 'The name of the program on that host.';
COMMENT ON COLUMN volguard.services.lease IS 'How long it counts as alive after a heartbeat.';
COMMENT ON COLUMN volguard.services.heartbeat_at IS 'The last heartbeat, by the clock of the database.';
COMMENT ON COLUMN volguard.services.registered_at IS 'When it registered.';
COMMENT ON COLUMN volguard.services.fenced_at IS 'When it was fenced, for good; NULL if it was not.';
COMMENT ON COLUMN volguard.services.registered_by IS 'The role that registered it, and may act for it.';
COMMENT ON COLUMN volguard.services.details IS 'As given to register_service, or since to update_service.';
COMMENT ON COLUMN volguard.services.disabled IS 'Whether it takes no new work from the queue.';
COMMENT ON COLUMN volguard.services.disabled_reason IS 'Why it is disabled; NULL if it is not.';

COMMENT ON COLUMN volguard.workers.resource_id IS 'The resource that is locked, within its type.';
COMMENT ON COLUMN volguard.workers.resource_type IS 'The type of the resource.';
COMMENT ON COLUMN volguard.workers.lock_name IS 'Which of several locks of the resource; empty if it has one only.';
COMMENT ON COLUMN volguard.workers.token IS 'The fencing token, larger than all earlier ones.';
COMMENT ON COLUMN volguard.workers.service_id IS 'The service that holds the lock; NULL: work that waits for one.';
COMMENT ON COLUMN volguard.workers.request_id IS 'The request that took or claimed it; a repeated request finds it by this.';
COMMENT ON COLUMN volguard.workers.acquired_at IS 'When the lock was taken, or since when the work waits.';
COMMENT ON COLUMN volguard.workers.updated_at IS 'When its status last changed.';
COMMENT ON COLUMN volguard.workers.details IS 'As given to acquire.';

COMMENT ON COLUMN volguard.ended_requests.request_id IS 'As given to submit_work.';
COMMENT ON COLUMN volguard.ended_requests.submitted_by IS 'The role that submitted the work.';
COMMENT ON COLUMN volguard.ended_requests.work_id IS 'The number of the work.';
COMMENT ON COLUMN volguard.ended_requests.resource_type IS 'The type of the resource.';
COMMENT ON COLUMN volguard.ended_requests.resource_id IS 'The resource that it was work on.';
COMMENT ON COLUMN volguard.ended_requests.outcome IS 'finished, cancelled, crashed: its crash rule ended it, cleaned: by finish_cleanup, or reset.';
COMMENT ON COLUMN volguard.ended_requests.ended_at IS 'When it ended.';

COMMENT ON COLUMN volguard.submitters.cluster IS 'The cluster.';
COMMENT ON COLUMN volguard.submitters.role IS 'The role whose members may submit work to it.';

COMMENT ON COLUMN volguard.resources.resource_type IS 'The type, as acquire names it.';
COMMENT ON COLUMN volguard.resources.target IS 'The table that holds the resources.';
COMMENT ON COLUMN volguard.resources.id_column IS 'The column of that table with the resource_id.';
COMMENT ON COLUMN volguard.resources.status_column IS 'The column of that table with the status.';

COMMENT ON COLUMN volguard.crash_rules.resource_type IS 'The type of the resources.';
COMMENT ON COLUMN volguard.crash_rules.status IS 'The status of the work that the rule repairs.';
COMMENT ON COLUMN volguard.crash_rules.changes IS 'What is set in the row of the resource.';
COMMENT ON COLUMN volguard.crash_rules.search_path IS 'The search_path that the rule runs with.';

COMMENT ON COLUMN volguard.events.event_id IS 'The number of the event; later ones mostly have larger numbers.';
COMMENT ON COLUMN volguard.events.at IS 'When, by the clock of the database.';
COMMENT ON COLUMN volguard.events.kind IS 'What happened: fenced, cleaned, repaired, forced, reset, released, rule_failed, disabled, enabled, owner_changed, cluster_removed or session_ended.';
COMMENT ON COLUMN volguard.events.cluster IS 'The cluster that it is about, or NULL.';
COMMENT ON COLUMN volguard.events.service_id IS 'The service that it is about, or NULL.';
COMMENT ON COLUMN volguard.events.resource_type IS 'The type of the resource, or NULL.';
COMMENT ON COLUMN volguard.events.resource_id IS 'The resource, or NULL.';
COMMENT ON COLUMN volguard.events.lock_name IS 'The name of the lock, or NULL.';
COMMENT ON COLUMN volguard.events.token IS 'The token of the lock, or NULL.';
COMMENT ON COLUMN volguard.events.role IS 'The role whose call did it.';
COMMENT ON COLUMN volguard.events.details IS 'More, by kind.';

COMMENT ON SEQUENCE volguard.clock IS 'The numbers of tokens, services and events. It is moved to the time when it is behind.';
COMMENT ON SEQUENCE volguard.place IS 'Where the clock was moved last: a fingerprint of server, timeline and database.';

COMMENT ON COLUMN volguard.update_result.outcome IS 'updated, unmet, not_found or fenced.';
COMMENT ON COLUMN volguard.update_result.updated IS 'How many rows were updated: 1 or 0.';
COMMENT ON COLUMN volguard.update_result.new_row IS 'The row as updated.';
COMMENT ON COLUMN volguard.update_result.unmet IS 'All conditions that failed.';
COMMENT ON COLUMN volguard.work_result.token IS 'The token of the lock; NULL if the work was not started.';
COMMENT ON COLUMN volguard.work_result.outcome IS 'updated, unmet, not_found or locked.';
COMMENT ON COLUMN volguard.work_result.new_row IS 'The row as updated.';
COMMENT ON COLUMN volguard.work_result.unmet IS 'All conditions that failed.';

COMMENT ON COLUMN volguard.service_status.host IS 'The host that it registered with.';
COMMENT ON COLUMN volguard.service_status.binary_name IS 'The name of the program on that host.';
COMMENT ON COLUMN volguard.service_status.state IS 'up; down: its lease is over; fenced.';
COMMENT ON COLUMN volguard.service_status.silent_for IS 'The time since its last heartbeat, in whole seconds.';
COMMENT ON COLUMN volguard.service_status.held_locks IS 'How many locks and pieces of work it holds.';
COMMENT ON COLUMN volguard.service_status.lease IS 'How long it counts as alive after a heartbeat.';
COMMENT ON COLUMN volguard.service_status.service_id IS 'The number of this incarnation.';
COMMENT ON COLUMN volguard.service_status.cluster IS 'Its cluster.';
COMMENT ON COLUMN volguard.service_status.heartbeat_at IS 'The last heartbeat.';
COMMENT ON COLUMN volguard.service_status.registered_at IS 'When it registered.';
COMMENT ON COLUMN volguard.service_status.fenced_at IS 'When it was fenced; NULL if it was not.';
COMMENT ON COLUMN volguard.service_status.registered_by IS 'The role that registered it.';
COMMENT ON COLUMN volguard.service_status.owner IS 'The owner of its cluster, or the role that registered it where the cluster has none.';
COMMENT ON COLUMN volguard.cluster_status.owner IS 'The role whose members may register in it; NULL: any role.';
COMMENT ON COLUMN volguard.service_status.details IS 'As given to register_service, or since to update_service.';
COMMENT ON COLUMN volguard.service_status.disabled IS 'Whether it takes no new work: the mark of update_service.';
COMMENT ON COLUMN volguard.service_status.disabled_reason IS 'Why it is disabled; NULL if it is not.';

COMMENT ON COLUMN volguard.lock_status.resource_type IS 'The type of the resource.';
COMMENT ON COLUMN volguard.lock_status.resource_id IS 'The resource that is locked.';
COMMENT ON COLUMN volguard.lock_status.lock_name IS 'Which of several locks of the resource; empty if it has one only.';
COMMENT ON COLUMN volguard.lock_status.status IS 'NULL: a plain lock. Otherwise work that needs cleanup if its service dies.';
COMMENT ON COLUMN volguard.lock_status.host IS 'The host of the holder; NULL if its service has no row.';
COMMENT ON COLUMN volguard.lock_status.alive IS 'Whether the holder is neither fenced nor past its lease; NULL: it is work that waits for a service.';
COMMENT ON COLUMN volguard.lock_status.held_for IS 'The time since it was acquired, or since it waits, in whole seconds.';
COMMENT ON COLUMN volguard.lock_status.awaiting_reason IS 'Why the last cleanup could not repair this work; NULL if none has tried.';
COMMENT ON COLUMN volguard.lock_status.retry_at IS 'When auto_cleanup tries again.';
COMMENT ON COLUMN volguard.lock_status.token IS 'The fencing token.';
COMMENT ON COLUMN volguard.lock_status.service_id IS 'The service that holds it; NULL: it is work that waits for one.';
COMMENT ON COLUMN volguard.lock_status.binary_name IS 'The name of the program on that host.';
COMMENT ON COLUMN volguard.lock_status.cluster IS 'The cluster whose services may claim the work after a crash.';
COMMENT ON COLUMN volguard.lock_status.acquired_at IS 'When the lock was taken.';
COMMENT ON COLUMN volguard.lock_status.updated_at IS 'When its status last changed.';
COMMENT ON COLUMN volguard.lock_status.request_id IS 'The request that took or claimed it.';
COMMENT ON COLUMN volguard.lock_status.crashed_service_id IS 'Claimed work: the service that crashed over it; otherwise NULL.';
COMMENT ON COLUMN volguard.lock_status.details IS 'As given to acquire or submit_work.';
COMMENT ON COLUMN volguard.lock_status.work_id IS 'Submitted work: its number, for good; otherwise NULL.';
COMMENT ON COLUMN volguard.lock_status.operation IS 'Submitted work: what is to be done.';
COMMENT ON COLUMN volguard.lock_status.for_host IS 'Submitted work: the only host that may take it; NULL: any.';
COMMENT ON COLUMN volguard.lock_status.priority IS 'Submitted work: a larger one is taken first.';
COMMENT ON COLUMN volguard.lock_status.not_before IS 'Submitted work: since when it may be taken.';
COMMENT ON COLUMN volguard.lock_status.attempt IS 'Submitted work: 1, and one more for each service that crashed over it.';
COMMENT ON COLUMN volguard.lock_status.submitted_by IS 'Submitted work: the role that may cancel it.';

COMMENT ON COLUMN volguard.cluster_status.cluster IS 'The name.';
COMMENT ON COLUMN volguard.cluster_status.state IS 'up if one of its services is up, otherwise down.';
COMMENT ON COLUMN volguard.cluster_status.services_up IS 'How many services are up.';
COMMENT ON COLUMN volguard.cluster_status.services_down IS 'How many services are past their lease, and not fenced yet.';
COMMENT ON COLUMN volguard.cluster_status.held_locks IS 'How many locks and pieces of work its services hold, fenced ones too.';
COMMENT ON COLUMN volguard.cluster_status.disabled IS 'The mark of set_cluster_disabled.';
COMMENT ON COLUMN volguard.cluster_status.disabled_reason IS 'Why it is disabled.';
COMMENT ON COLUMN volguard.cluster_status.services IS 'How many services are up or down: not the fenced ones.';
COMMENT ON COLUMN volguard.cluster_status.last_heartbeat IS 'The last heartbeat of any service.';
COMMENT ON COLUMN volguard.cluster_status.waiting_work IS 'How much submitted work waits for one of its services.';

COMMENT ON COLUMN volguard.waiters.resource_type IS 'The type of the resource; NULL if the session could not show it and no committed row has it.';
COMMENT ON COLUMN volguard.waiters.resource_id IS 'The resource, as resource_type.';
COMMENT ON COLUMN volguard.waiters.lock_name IS 'The lock that the call wants, as resource_type; for a work slot that of its holder.';
COMMENT ON COLUMN volguard.waiters.place IS 'The place in the queue, counted from 1.';
COMMENT ON COLUMN volguard.waiters.host IS 'The host of the service that waits.';
COMMENT ON COLUMN volguard.waiters.pid IS 'The session that waits.';
COMMENT ON COLUMN volguard.waiters.waited IS 'For how long, in whole seconds.';
COMMENT ON COLUMN volguard.waiters.holder_host IS 'The host of the holder.';
COMMENT ON COLUMN volguard.waiters.holder_alive IS 'Whether the holder is neither fenced nor past its lease; NULL if no committed row has the key, or work that waits for a service.';
COMMENT ON COLUMN volguard.waiters.committed IS 'True: a committed row has the key. False: an open transaction is in front, that of behind_pid. NULL: it is about to be handed over.';
COMMENT ON COLUMN volguard.waiters.waits_for IS 'lock; work slot: another operation on the resource; service lock: a fence of the own service; row: it has its turn, and waits for the row of the resource.';
COMMENT ON COLUMN volguard.waiters.service_id IS 'The service that waits.';
COMMENT ON COLUMN volguard.waiters.role IS 'The role of its session.';
COMMENT ON COLUMN volguard.waiters.since IS 'When the call began to wait.';
COMMENT ON COLUMN volguard.waiters.holder_token IS 'The token of the holder.';
COMMENT ON COLUMN volguard.waiters.holder_service_id IS 'The service that holds it.';
COMMENT ON COLUMN volguard.waiters.holder_status IS 'The status of the holder''s work; NULL for a plain lock.';
COMMENT ON COLUMN volguard.waiters.behind_pid IS 'A session in front that does not wait: its transaction has taken the lock, and has not ended. 0: a prepared transaction.';
COMMENT ON COLUMN volguard.waiters.behind_state IS 'What that session does, as in pg_stat_activity.';
COMMENT ON COLUMN volguard.waiters.clipped IS 'Whether the names are cut, which then end with an ellipsis, or missing.';
COMMENT ON COLUMN volguard.waiters.queue IS 'The number of the queue, as wait_queue() computes it.';

COMMENT ON COLUMN volguard.event_log.event_id IS 'The number of the event; later ones mostly have larger numbers.';
COMMENT ON COLUMN volguard.event_log.at IS 'When, by the clock of the database.';
COMMENT ON COLUMN volguard.event_log.kind IS 'What happened: fenced, cleaned, repaired, forced, reset, released, rule_failed, disabled, enabled, owner_changed, cluster_removed or session_ended.';
COMMENT ON COLUMN volguard.event_log.cluster IS 'The cluster that it is about, or NULL.';
COMMENT ON COLUMN volguard.event_log.service_id IS 'The service that it is about, or NULL.';
COMMENT ON COLUMN volguard.event_log.resource_type IS 'The type of the resource, or NULL.';
COMMENT ON COLUMN volguard.event_log.resource_id IS 'The resource, or NULL.';
COMMENT ON COLUMN volguard.event_log.lock_name IS 'The name of the lock, or NULL.';
COMMENT ON COLUMN volguard.event_log.token IS 'The token of the lock, or NULL.';
COMMENT ON COLUMN volguard.event_log.role IS 'The role whose call did it.';
COMMENT ON COLUMN volguard.event_log.details IS 'More, by kind.';

-- pg_dump writes only CREATE EXTENSION, except for the rows named here. Rows of a table that was dropped are left out:
-- they would be dumped as bare oids, which belong to other objects where the dump is restored. Services, clusters and
-- rules have the names of roles, so they are dumped whether or not the role is there.
SELECT pg_catalog.pg_extension_config_dump('volguard.clusters', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.services', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.workers', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.ended_requests', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.submitters', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.resources',
    'WHERE target::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('volguard.crash_rules',
    'WHERE target::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class)
       AND resource_type IN (SELECT r.resource_type FROM volguard.resources AS r
                             WHERE r.target::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class))');
SELECT pg_catalog.pg_extension_config_dump('volguard.events', '');
-- Where the clock of the new server is behind, only this tells which numbers were drawn before. The sequence `place` is
-- left out: what a dump brings is always in a new place.
SELECT pg_catalog.pg_extension_config_dump('volguard.clock', '');

CREATE FUNCTION volguard.grant_usage(role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_grant_usage';
COMMENT ON FUNCTION volguard.grant_usage IS 'Lets a role use volguard: EXECUTE on the ordinary functions and SELECT on the views, but nothing on its tables.';

CREATE FUNCTION volguard.grant_operator(role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_grant_operator';
COMMENT ON FUNCTION volguard.grant_operator IS 'Lets a role use and operate volguard: also set up types and rules, and take locks and clusters away from others.';

CREATE FUNCTION volguard.grant_monitoring(role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_grant_monitoring';
COMMENT ON FUNCTION volguard.grant_monitoring IS 'Lets a role look at volguard: SELECT on the views, and no function that changes anything.';

REVOKE ALL ON ALL ROUTINES IN SCHEMA volguard FROM PUBLIC;

-- Default privileges of the role that creates the extension (ALTER DEFAULT PRIVILEGES) are meant for its own tables:
-- with one on ours, a role could delete the locks of others.
DO $$
DECLARE
    change text;
BEGIN
    FOR change IN
        WITH ours (kind, name, owner, privileges) AS (
            SELECT 'SCHEMA', 'volguard', nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname = 'volguard'
            UNION ALL
            SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::pg_catalog.regclass::text, relowner, relacl
            FROM pg_catalog.pg_class
            WHERE relnamespace = 'volguard'::pg_catalog.regnamespace AND relkind IN ('r', 'v', 'S')
            UNION ALL
            SELECT 'ROUTINE', oid::pg_catalog.regprocedure::text, proowner, proacl
            FROM pg_catalog.pg_proc WHERE pronamespace = 'volguard'::pg_catalog.regnamespace
        )
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', kind, name,
            coalesce(pg_catalog.quote_ident(rolname), 'PUBLIC'))
        FROM ours
        CROSS JOIN LATERAL pg_catalog.aclexplode(privileges)
        LEFT JOIN pg_catalog.pg_roles ON pg_roles.oid = grantee
        WHERE grantee <> owner
    LOOP
        EXECUTE change;
    END LOOP;
END
$$;

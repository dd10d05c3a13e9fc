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

CREATE FUNCTION volguard.track_resource(resource_type text, target regclass, id_column name DEFAULT 'id', status_column name DEFAULT 'status')
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_track_resource';
COMMENT ON FUNCTION volguard.track_resource IS 'Sets the table that holds the resources of a type.';

CREATE FUNCTION volguard.on_crash(resource_type text, status text, changes jsonb)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_on_crash';
COMMENT ON FUNCTION volguard.on_crash IS 'Sets what a cleanup changes in the row of a resource whose service crashed in a status. NULL changes drops the rule.';

CREATE FUNCTION volguard.cleanup(service_id bigint DEFAULT NULL, cluster text DEFAULT NULL, host text DEFAULT NULL, binary_name text DEFAULT NULL,
                                 disabled boolean DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (service_id bigint, cluster text, host text, state text, locks_released bigint, resources_cleaned bigint, resources_stale bigint, awaiting bigint)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_cleanup';
COMMENT ON FUNCTION volguard.cleanup IS 'Fences the dead services that match, releases their locks, and repairs their work by its crash rules.';

CREATE FUNCTION volguard.auto_cleanup(cluster text DEFAULT NULL)
RETURNS TABLE (service_id bigint, cluster text, host text, state text, locks_released bigint, resources_cleaned bigint, resources_stale bigint, awaiting bigint)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_auto_cleanup';
COMMENT ON FUNCTION volguard.auto_cleanup IS 'For a periodic task: cleans up dead services. It waits for no lock, and skips a cluster that another call is cleaning up.';

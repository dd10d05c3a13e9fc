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

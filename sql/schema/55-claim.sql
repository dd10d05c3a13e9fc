CREATE FUNCTION volguard.claim_cleanup(service_id bigint, max_rows integer DEFAULT 1, resource_type text DEFAULT NULL)
RETURNS TABLE (token bigint, resource_type text, resource_id text, lock_name text, status text, crashed_service_id bigint, details jsonb)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_claim_cleanup';
COMMENT ON FUNCTION volguard.claim_cleanup IS 'Hands work of crashed services of the cluster, which no crash rule repairs, to a live one, with new tokens.';

CREATE FUNCTION volguard.finish_cleanup(token bigint)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_finish_cleanup';
COMMENT ON FUNCTION volguard.finish_cleanup IS 'Claimed work is cleaned up: forgets it and frees its lock; false if the token is not held (any more).';

CREATE FUNCTION volguard.abandon_cleanup(token bigint)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_abandon_cleanup';
COMMENT ON FUNCTION volguard.abandon_cleanup IS 'Gives claimed work back, for another to claim; false if the token is not held (any more).';

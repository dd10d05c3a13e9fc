CREATE FUNCTION volguard.acquire(service_id bigint, resource_type text, resource_id text, lock_name text DEFAULT '', status text DEFAULT NULL,
                                 wait interval DEFAULT '0', request_id uuid DEFAULT NULL, details jsonb DEFAULT NULL)
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_acquire';
COMMENT ON FUNCTION volguard.acquire IS 'Takes a lock and returns its token, or NULL if it was not free within wait.';

CREATE FUNCTION volguard.acquire_all(service_id bigint, locks jsonb, wait interval DEFAULT '0', request_id uuid DEFAULT NULL)
RETURNS TABLE (resource_type text, resource_id text, lock_name text, token bigint)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_acquire_all';
COMMENT ON FUNCTION volguard.acquire_all IS 'Takes all locks of a list and returns their tokens, or no row if they were not all free within wait.';

CREATE FUNCTION volguard.set_status(token bigint, status text)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_status';
COMMENT ON FUNCTION volguard.set_status IS 'Says how far the work under a lock is; NULL makes it a plain lock. VG002 unless held.';

CREATE FUNCTION volguard.release(token bigint)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release';
COMMENT ON FUNCTION volguard.release IS 'Gives a lock back; false if the token holds nothing (any more).';

CREATE FUNCTION volguard.release_all(tokens bigint[])
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release_all';
COMMENT ON FUNCTION volguard.release_all IS 'Gives many locks back in one commit and returns how many were held.';

CREATE FUNCTION volguard.assert_held(token bigint)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_assert_held';
COMMENT ON FUNCTION volguard.assert_held IS 'Fences the transaction: VG002 unless the token is held, and it stays held until the commit.';

CREATE FUNCTION volguard.reconcile(service_id bigint, tokens bigint[])
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_reconcile';
COMMENT ON FUNCTION volguard.reconcile IS 'Releases what the service holds and tokens does not list; returns how many. Call it with no acquire in flight.';

CREATE FUNCTION volguard.force_release(token bigint, reason text)
RETURNS boolean VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_force_release';
COMMENT ON FUNCTION volguard.force_release IS 'Takes one lock away from whoever holds it, work or not; logged with the reason.';

CREATE FUNCTION volguard.reset_resource(resource_type text, resource_id text)
RETURNS bigint VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_reset_resource';
COMMENT ON FUNCTION volguard.reset_resource IS 'Forgets every lock and work of a resource, in all clusters; logged. Returns how many rows.';

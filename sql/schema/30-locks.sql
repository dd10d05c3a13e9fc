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

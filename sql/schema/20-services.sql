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

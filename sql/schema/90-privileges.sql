CREATE FUNCTION volguard.grant_usage(role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_grant_usage';
COMMENT ON FUNCTION volguard.grant_usage IS 'Lets a role use volguard: EXECUTE on its functions and SELECT on its views, but nothing on its tables.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA volguard FROM PUBLIC;

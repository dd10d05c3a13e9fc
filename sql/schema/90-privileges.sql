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

-- A schema of another role could hold functions that are called in place of ours.
DO $$
BEGIN
    IF (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'volguard')
       <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER) THEN
        RAISE EXCEPTION 'schema volguard exists and belongs to another role'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Drop the schema; CREATE EXTENSION creates it.';
    END IF;
END
$$;

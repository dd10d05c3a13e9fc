DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of this database is %, and volguard needs UTF8', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Names and documents are texts of any language. Create a database with ENCODING UTF8 TEMPLATE template0.';
    END IF;
END
$$;

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

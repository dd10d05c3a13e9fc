DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of this database is %, and volguard needs UTF8', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Names and documents are texts of any language. Create a database with ENCODING UTF8 TEMPLATE template0.';
    END IF;
END
$$;

-- What a role owns in a schema that is there could be called in place of ours.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'volguard') THEN
        RAISE EXCEPTION 'schema volguard exists already'
            USING ERRCODE = 'duplicate_schema', HINT = 'Drop the schema; CREATE EXTENSION creates it.';
    END IF;
END
$$;

-- By this it belongs to the extension: DROP EXTENSION takes it along, with all that was granted on it, and a dump
-- leaves it out. A schema that the control file names would not.
CREATE SCHEMA volguard;

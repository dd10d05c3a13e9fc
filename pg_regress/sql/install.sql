-- CREATE EXTENSION and DROP EXTENSION, in a database of its own.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set here :DBNAME
-- An interrupted run may have left roles and databases.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_volguard_install;
DROP DATABASE IF EXISTS regress_volguard_latin;
DROP ROLE IF EXISTS regress_install_stranger, regress_install_admin;
RESET client_min_messages;
CREATE ROLE regress_install_stranger;
CREATE ROLE regress_install_admin SUPERUSER;
CREATE DATABASE regress_volguard_install OWNER regress_install_stranger;
\c regress_volguard_install

-- Another encoding than UTF8 is refused.
CREATE DATABASE regress_volguard_latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_volguard_latin
\set VERBOSITY terse
CREATE EXTENSION volguard; :code
\set VERBOSITY default
\c regress_volguard_install
DROP DATABASE regress_volguard_latin;

-- A schema that was made before the extension could contain functions
-- that catch its calls: it is refused, and nothing is left.
SET ROLE regress_install_stranger;
CREATE SCHEMA volguard;
CREATE FUNCTION volguard.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
RESET ROLE;
\set VERBOSITY terse
CREATE EXTENSION volguard; :code
\set VERBOSITY default
SELECT count(*) FROM pg_extension WHERE extname = 'volguard';
SELECT count(*) FROM pg_class WHERE relnamespace = 'volguard'::regnamespace;
DROP SCHEMA volguard CASCADE;
-- So is one of a superuser, in which others may create functions.
CREATE SCHEMA volguard;
\set VERBOSITY terse
CREATE EXTENSION volguard; :code
\set VERBOSITY default
DROP SCHEMA volguard;
-- Default privileges give no role a right to what the extension brings.
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_install_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_install_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_install_stranger WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON ROUTINES TO regress_install_stranger;
CREATE EXTENSION volguard;
SELECT DISTINCT kind, grantee, privilege_type
FROM (SELECT 'schema', nspowner, nspacl FROM pg_namespace WHERE nspname = 'volguard'
      UNION ALL SELECT 'relation', relowner, coalesce(relacl, acldefault('r', relowner)) FROM pg_class WHERE relnamespace = 'volguard'::regnamespace AND relkind <> 'i'
      UNION ALL SELECT 'function', proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace) AS objects (kind, owner, acl), aclexplode(acl)
WHERE grantee <> owner;
-- What is granted, is.
SELECT volguard.grant_usage('regress_install_stranger');
SET ROLE regress_install_stranger;
SELECT volguard.heartbeat(volguard.register_service('node-1', 'volume'));
SELECT count(*) FROM volguard.workers;
RESET ROLE;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM regress_install_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_install_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM regress_install_stranger;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON ROUTINES FROM regress_install_stranger;
-- What was granted goes with the schema.
DROP EXTENSION volguard;
CREATE EXTENSION volguard;
SELECT has_schema_privilege('regress_install_stranger', 'volguard', 'USAGE');
DROP EXTENSION volguard;
-- The owner of the database is no superuser, and may not create the extension.
SET ROLE regress_install_stranger;
CREATE EXTENSION volguard; :code
RESET ROLE;
-- It can't live in another schema either.
CREATE EXTENSION volguard SCHEMA public; :code
CREATE EXTENSION volguard SCHEMA volguard; :code
CREATE EXTENSION volguard;
ALTER EXTENSION volguard SET SCHEMA public; :code
SELECT extname, extrelocatable, extnamespace::regnamespace FROM pg_extension WHERE extname = 'volguard';

-- A library of another version refuses to work with the objects, and says what to do.
SELECT extversion AS version FROM pg_extension WHERE extname = 'volguard' \gset
UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'volguard';
\c
SELECT volguard.register_service('node-1', 'volume'); :code
SELECT volguard.heartbeat(1); :code
UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'volguard';
SELECT volguard.heartbeat(1); :code
UPDATE pg_extension SET extversion = :'version' WHERE extname = 'volguard';
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(-1);
\set VERBOSITY default

-- It needs no shared_preload_libraries, and all objects of the schema belong to it.
SELECT p.oid::regprocedure FROM pg_proc AS p WHERE pronamespace = 'volguard'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e');
SELECT c.oid::regclass FROM pg_class AS c WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'v', 'S') AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e');
-- pg_dump dumps all its rows, but not the place: it is another one where the dump is restored.
SELECT c.oid::regclass FROM pg_class AS c, pg_extension AS e WHERE e.extname = 'volguard' AND relnamespace = 'volguard'::regnamespace AND relkind IN ('r', 'S') AND c.oid <> ALL (e.extconfig);

-- Attributes of the functions: VOLATILE, PARALLEL UNSAFE and
-- called on NULL, except any_of and none_of; each has a comment.
SELECT proname, provolatile, proparallel, proisstrict, prosecdef, obj_description(oid, 'pg_proc') <> '' AS comment FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace ORDER BY proname;
-- The names of the arguments are a contract.
SELECT proname || '(' || pg_get_function_arguments(oid) || ')' || coalesce(' -> ' || pg_get_function_result(oid), '') AS signature FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace ORDER BY proname, pronargs;

-- Dropped and created again in one session: the backend's caches
-- of the old tables and services are not used for the new ones.
CREATE TABLE volumes (id text PRIMARY KEY, status text);
PREPARE beat AS SELECT volguard.heartbeat($1);
-- No compared column uses the default collation, which may change with the operating system.
SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'volguard'::regnamespace AND relkind = 'r' AND attcollation = 'pg_catalog."default"'::regcollation
ORDER BY 1, 2;

DO $$
DECLARE
    service bigint;
    token bigint;
    round integer;
BEGIN
    -- The owner of the database can create objects in public, which is no path for a superuser's rule.
    PERFORM set_config('search_path', 'pg_catalog', true);
    FOR round IN 1..3 LOOP
        service := volguard.register_service('node-1', 'volume', CASE round WHEN 2 THEN 'two' END);
        token := volguard.acquire(service, 'volume', 'v-1', status => 'creating', request_id => '00000000-0000-0000-0000-000000000001');
        PERFORM volguard.heartbeat(service), volguard.assert_held(token), volguard.set_status(token, 'deleting'), volguard.reconcile(service, ARRAY[token]), volguard.release_requests(service, '{}');
        PERFORM volguard.track_resource('volume', 'public.volumes'), volguard.on_crash('volume', 'deleting', '{"status": "error"}');
        RAISE NOTICE 'round %: % in cluster %, cleaned: %', round, (SELECT count(*) FROM volguard.lock_status), (SELECT cluster FROM volguard.lock_status),
            volguard.deregister_service(service) + (SELECT count(*) FROM volguard.cleanup(service_id => service));
        PERFORM volguard.release_all(ARRAY[token]), volguard.release(token), volguard.force_release(token, 'none'), volguard.reset_resource('volume', 'v-1');
        DROP EXTENSION volguard;
        CREATE EXTENSION volguard;
    END LOOP;
END
$$;
\set VERBOSITY sqlstate
EXECUTE beat(1);
\set VERBOSITY default
SELECT volguard.register_service('node-1', 'volume') AS service \gset
EXECUTE beat(:service);
-- A service of the dropped extension is unknown to the new one.
SELECT volguard.acquire(:service, 'volume', 'v-1') IS NOT NULL AS got;
-- The schema alone can't be dropped, nor can the extension while there is something of others in the schema.
DROP SCHEMA volguard CASCADE; :code
CREATE TABLE volguard.of_a_user ();
DROP EXTENSION volguard; :code
DROP TABLE volguard.of_a_user;
-- A DROP with a lock held warns; without a lock it doesn't, as above. The schema goes, too.
DROP EXTENSION volguard;
EXECUTE beat(0); :code
SELECT count(*) FROM pg_namespace WHERE nspname = 'volguard';
CREATE EXTENSION volguard;
\set VERBOSITY sqlstate
EXECUTE beat(:service);
SELECT volguard.acquire(:service, 'volume', 'v-1');
\set VERBOSITY default
SELECT count(*) FROM volguard.services;

\c :here
DROP DATABASE regress_volguard_install;
DROP ROLE regress_install_stranger, regress_install_admin;

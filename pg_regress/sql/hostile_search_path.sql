-- A search_path full of traps: functions, operators, types and tables that catch every name without a schema.
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_hostile;
RESET client_min_messages;
CREATE ROLE regress_hostile;
SELECT volguard.grant_operator('regress_hostile');
CREATE TABLE public.hostile_volumes (id text PRIMARY KEY, status text);
INSERT INTO hostile_volumes VALUES ('v-1', 'creating');
ALTER TABLE hostile_volumes OWNER TO regress_hostile;
CREATE SCHEMA hostile AUTHORIZATION regress_hostile;
SET ROLE regress_hostile;
-- Every function of pg_catalog that our SQL could use, and every
-- operator: the same arguments, and an error that names the current role.
CREATE FUNCTION hostile.trap(what text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trap % as %', what, current_user; END$$;
DO $$
DECLARE
    f record;
    o record;
BEGIN
    FOR f IN
        SELECT p.proname, format_type(p.prorettype, NULL) AS result, p.proretset,
               (SELECT coalesce(string_agg(format_type(t, NULL), ', ' ORDER BY n), '') FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)) AS arguments
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0 AND p.prorettype <> 'internal'::regtype
          AND p.proname IN ('now', 'clock_timestamp', 'statement_timestamp', 'nextval', 'currval', 'pg_has_role', 'has_table_privilege', 'make_interval', 'ceil', 'ceiling', 'extract', 'date_part',
                            'to_jsonb', 'unnest', 'array_append', 'quote_ident', 'lower', 'length')
    LOOP
        EXECUTE format('CREATE FUNCTION hostile.%I (%s) RETURNS %s %s LANGUAGE plpgsql AS %L', f.proname, f.arguments, CASE WHEN f.proretset THEN 'SETOF ' ELSE '' END, f.result,
                       format('BEGIN PERFORM hostile.trap(%L); END', f.proname));
    END LOOP;
    FOR o IN
        SELECT row_number() OVER () AS n, oprname, format_type(oprleft, NULL) AS l, format_type(oprright, NULL) AS r, format_type(oprresult, NULL) AS result
        FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b' AND oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '/', '|', '&', '||', '@>', '->', '->>')
          AND oprleft = ANY ('{int2, int4, int8, oid, text, name, bool, uuid, timestamptz, interval, numeric, jsonb, regclass, tid, anyarray, anynonarray}'::regtype[])
          AND oprright = ANY ('{int2, int4, int8, oid, text, name, bool, uuid, timestamptz, interval, numeric, jsonb, regclass, tid, anyarray, anynonarray}'::regtype[])
    LOOP
        EXECUTE format('CREATE FUNCTION hostile.operator_%s (%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', o.n, o.l, o.r, o.result, format('BEGIN PERFORM hostile.trap(%L); END', o.oprname));
        EXECUTE format('CREATE OPERATOR hostile.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = hostile.operator_%s)', o.oprname, o.l, o.r, o.n);
    END LOOP;
END
$$;
-- An aggregate, types, relations.
CREATE FUNCTION hostile.step(bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.trap('count'); END$$;
CREATE AGGREGATE hostile.count (*) (SFUNC = hostile.step, STYPE = bigint, INITCOND = '0');
SELECT count(*) > 100 AS many_traps FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace;
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN hostile.jsonb AS pg_catalog.jsonb CHECK (false);
CREATE DOMAIN hostile.timestamptz AS pg_catalog.timestamptz CHECK (false);
CREATE DOMAIN hostile.oid AS pg_catalog.oid CHECK (false);
CREATE DOMAIN hostile.int8 AS pg_catalog.int8 CHECK (false);
CREATE TABLE hostile.services (service_id pg_catalog.int8);
CREATE TABLE hostile.workers (token pg_catalog.int8);
CREATE TABLE hostile.clusters (name pg_catalog.text);
CREATE TABLE hostile.resources (resource_type pg_catalog.text);
CREATE TABLE hostile.crash_rules (resource_type pg_catalog.text);
CREATE TABLE hostile.events (event_id pg_catalog.int8);
CREATE SEQUENCE hostile.clock;
CREATE SEQUENCE hostile.place;
RESET ROLE;

-- A new backend, as an ordinary role and then as a superuser; the path,
-- and temporary tables in front of it, exist before the first call.
CREATE FUNCTION public.hostile_temporary() RETURNS pg_catalog.void LANGUAGE sql AS $$
    CREATE TEMP TABLE services (service_id bigint);
    CREATE TEMP TABLE workers (token bigint);
    CREATE TEMP TABLE clusters (name text);
    CREATE TEMP TABLE resources (resource_type text);
    CREATE TEMP TABLE crash_rules (resource_type text);
    CREATE TEMP TABLE events (event_id bigint);
    CREATE TEMP SEQUENCE clock;
    CREATE TEMP SEQUENCE place;
$$;
\c -
SELECT public.hostile_temporary();
SET SESSION AUTHORIZATION regress_hostile;
SET search_path = pg_temp, hostile, pg_catalog;
-- The traps work: a name without a schema is caught.
\set VERBOSITY terse
SELECT 1 = 1;
SELECT now();
SELECT count(*) FROM public.hostile_volumes;
SELECT 'x'::text;
\set VERBOSITY default
-- No name of volguard's SQL is caught.
SELECT volguard.register_service('node-1', 'volume', 'hostile') AS first \gset
SELECT volguard.acquire(:first, 'hostile', 'h-1') IS NOT NULL AS got, volguard.heartbeat(:first);
SELECT volguard.register_service('node-1', 'volume', 'hostile', '1 min', '{}') AS service \gset
SELECT volguard.acquire(:service, 'hostile', 'h-1') AS token \gset
SELECT volguard.acquire(:service, 'hostile', 'h-2', 'lock', 'creating', '1 ms', '00000000-0000-0000-0000-000000000001', '{}') AS work \gset
SELECT volguard.acquire(:service, 'hostile', 'h-2', 'other', 'creating', '1 ms') AS refused, volguard.heartbeat(:service), volguard.set_status(:work, 'deleting'), volguard.set_status(:work, NULL), volguard.assert_held(:work);
SELECT resource_id FROM volguard.acquire_all(:service, '[{"resource_type": "hostile", "resource_id": "h-3", "status": "creating", "details": {}}, {"resource_type": "hostile", "resource_id": "h-4"}]', '1 ms');
SELECT resource_id FROM volguard.acquire_all(:service, '[{"resource_type": "hostile", "resource_id": "h-3"}, {"resource_type": "hostile", "resource_id": "h-5"}]', '1 ms', '00000000-0000-0000-0000-000000000001');
SELECT volguard.reconcile(:service, ARRAY[:token, :work]), volguard.release(:token), volguard.release_all(ARRAY[:work]), volguard.release(:work), volguard.force_release(:work, 'none'), volguard.reset_resource('hostile', 'h-2');
SELECT volguard.acquire(:service, 'hostile', 'h-7', request_id => '00000000-0000-0000-0000-000000000007') IS NOT NULL AS got, volguard.release_requests(:service, ARRAY['00000000-0000-0000-0000-000000000007']::pg_catalog.uuid[]);
SELECT volguard.force_release(volguard.acquire(:service, 'hostile', 'h-6'), 'test'), volguard.set_cluster_disabled('hostile', true, 'test'), volguard.set_cluster_disabled('hostile', true, 'another reason'), volguard.set_cluster_disabled('hostile', false), volguard.update_service(:service, disabled => true, disabled_reason => 'a'), volguard.update_service(:service, disabled => true, disabled_reason => 'b'), volguard.update_service(:service, disabled => false);
SELECT volguard.register_service('node-2', 'volume', 'hostile too') AS second, volguard.set_cluster_owner('hostile too', 'regress_hostile') \gset
SELECT volguard.fence_service(:second, 'test'), volguard.remove_cluster('hostile too');
SELECT volguard.track_resource('hostile', 'public.hostile_volumes'), volguard.on_crash('hostile', 'creating', '{"status": "error"}'), volguard.on_crash('hostile', 'deleting', NULL);
SELECT token AS work, outcome FROM volguard.start_work(:service, 'hostile', 'v-1', '{"status": "creating"}', '{"status": {"ne": "gone"}}', '{"where": {"id": "v-1"}}', '', '1 ms', '00000000-0000-0000-0000-000000000002') \gset
SELECT outcome, new_row FROM volguard.start_work(:service, 'hostile', 'v-1', '{"status": "creating"}', request_id => '00000000-0000-0000-0000-000000000002');
SELECT outcome, new_row FROM volguard.finish_work(:work, '{"status": "creating"}');
SELECT volguard.acquire(:service, 'hostile', 'v-1', status => 'creating') IS NOT NULL AS got, volguard.acquire(:service, 'hostile', 'v-2', status => 'creating') IS NOT NULL AS got, volguard.deregister_service(:service);
SELECT resource_id, alive FROM volguard.lock_status WHERE cluster OPERATOR(pg_catalog.=) 'hostile' ORDER BY resource_id COLLATE "C" USING OPERATOR(pg_catalog.<);
SELECT state, held_locks FROM volguard.service_status WHERE service_id OPERATOR(pg_catalog.=) :service;
SELECT state, services, held_locks FROM volguard.cluster_status WHERE cluster OPERATOR(pg_catalog.=) 'hostile';
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :service, cluster => 'hostile', host => 'node-1', binary_name => 'volume', disabled => false, until => 'infinity');
CALL volguard.run_cleanup(service_id => :service, cluster => 'hostile', until => 'infinity');
SELECT kind FROM volguard.event_log WHERE cluster OPERATOR(pg_catalog.=) 'hostile' ORDER BY event_id USING OPERATOR(pg_catalog.<);
SELECT * FROM public.hostile_volumes;
SELECT volguard.register_service('node-3', 'volume', 'hostile') AS crashed \gset
SELECT volguard.acquire(:crashed, 'untracked', 'c-1', status => 'creating') IS NOT NULL AS got, volguard.acquire(:crashed, 'untracked', 'c-2', status => 'creating') IS NOT NULL AS got, volguard.acquire(:crashed, 'hostile', 'c-3', status => 'creating') IS NOT NULL AS got, volguard.deregister_service(:crashed);
SELECT volguard.register_service('node-4', 'volume', 'hostile') AS claimer \gset
SELECT volguard.abandon_cleanup(token), volguard.reconcile(:claimer, '{}') FROM volguard.claim_cleanup(:claimer, 1, 'untracked');
SELECT volguard.reconcile(:claimer, '{}') FROM volguard.claim_cleanup(:claimer);
SELECT resource_id FROM volguard.claim_cleanup(:claimer, 1, NULL, '00000000-0000-0000-0000-000000000003');
SELECT resource_id FROM volguard.claim_cleanup(:claimer, 1, NULL, '00000000-0000-0000-0000-000000000003');
SELECT volguard.release_requests(:claimer, ARRAY['00000000-0000-0000-0000-000000000003']::pg_catalog.uuid[]);
SELECT volguard.finish_cleanup(token) FROM volguard.claim_cleanup(:claimer, 10);
SELECT volguard.deregister_service(:claimer);
\set VERBOSITY sqlstate
SELECT volguard.heartbeat(:service);
SELECT volguard.acquire(:service, 'hostile', 'h-1');
SELECT volguard.assert_held(:token);
\set VERBOSITY default

RESET SESSION AUTHORIZATION;
\c -
SELECT public.hostile_temporary();
UPDATE hostile_volumes SET status = 'creating';
SET search_path = pg_temp, hostile, pg_catalog;
SELECT volguard.register_service('node-2', 'volume', 'hostile') AS service \gset
SELECT volguard.acquire(:service, 'hostile', 'v-1', status => 'creating', wait => '1 s') AS token \gset
SELECT volguard.heartbeat(:service), volguard.assert_held(:token), volguard.deregister_service(:service);
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :service);
SELECT * FROM public.hostile_volumes;
SELECT volguard.grant_operator('regress_hostile');

\c -
SET client_min_messages = warning;
SELECT service_id FROM volguard.services WHERE cluster = 'hostile' AND fenced_at IS NULL;
SELECT count(*) FROM hostile.services;
DELETE FROM volguard.resources WHERE resource_type = 'hostile';
DROP TABLE hostile_volumes;
DROP FUNCTION hostile_temporary;
DROP OWNED BY regress_hostile CASCADE;
DROP ROLE regress_hostile;

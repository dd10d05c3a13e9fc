-- A schema of the role manager, in front of everything on its search_path, in which the operators and functions of
-- Postgres work normally for a client's own statements, and fail when a statement of an extension catches them.
CREATE SCHEMA evil AUTHORIZATION manager;
GRANT USAGE ON SCHEMA evil TO PUBLIC;

CREATE FUNCTION evil.hijack() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    -- What is left is the caller: nothing for a client's statement.
    -- SPI, which runs an extension's statements, is there.
    stack := regexp_replace(stack, '^(SQL statement "SELECT evil\.hijack\(\)"|PL/pgSQL function evil\..*)$', '', 'gn');
    IF stack ~ '\S' THEN
        RAISE EXCEPTION 'hijacked as %: %', current_user, stack USING ERRCODE = 'EV111';
    END IF;
END
$$;

DO $$
DECLARE
    operator record;
    function record;
    number integer := 0;
BEGIN
    FOR operator IN
        SELECT oprname AS name, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result
        FROM pg_operator
        WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'
          AND oprname IN ('=', '<>', '<', '<=', '>', '>=', '+', '-', '*', '|', '&', '||', '->', '->>', '~')
          AND oprleft = ANY ('{bool,int4,int8,text,name,oid,uuid,numeric,float8,jsonb,interval,timestamptz,tid}'::regtype[])
          AND oprright = ANY ('{bool,int4,int8,text,name,oid,uuid,numeric,float8,jsonb,interval,timestamptz,tid}'::regtype[])
    LOOP
        number := number + 1;
        EXECUTE format(
            'CREATE FUNCTION evil.o%1$s(l %2$s, r %3$s) RETURNS %4$s LANGUAGE plpgsql SET search_path = pg_catalog AS
             ''BEGIN PERFORM evil.hijack(); RETURN l OPERATOR(pg_catalog.%5$s) r; END'';
             CREATE OPERATOR evil.%5$s (FUNCTION = evil.o%1$s, LEFTARG = %2$s, RIGHTARG = %3$s)',
            number, operator.l, operator.r, operator.result, operator.name);
    END LOOP;
    -- Operators that Postgres lacks and replaces by a cast: an exact match wins, wherever it is.
    FOR operator IN
        SELECT * FROM (VALUES ('*', 'int8', 'interval', 'interval'), ('*', 'numeric', 'int4', 'numeric'), ('*', 'int4', 'interval', 'interval'),
                              ('=', 'regrole', 'oid', 'bool'), ('=', 'oid', 'regrole', 'bool'), ('=', 'regclass', 'oid', 'bool')) AS o (name, l, r, result)
    LOOP
        number := number + 1;
        EXECUTE format(
            'CREATE FUNCTION evil.o%1$s(l %2$s, r %3$s) RETURNS %4$s LANGUAGE plpgsql AS
             ''BEGIN RAISE EXCEPTION ''''hijacked by %2$s %5$s %3$s'''' USING ERRCODE = ''''EV111''''; END'';
             CREATE OPERATOR evil.%5$s (FUNCTION = evil.o%1$s, LEFTARG = %2$s, RIGHTARG = %3$s)',
            number, operator.l, operator.r, operator.result, operator.name);
    END LOOP;
    FOR function IN
        SELECT p.proname AS name, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
               (SELECT string_agg('$' || a, ', ') FROM generate_series(1, p.pronargs) AS a) AS parameters
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0
          AND p.proname IN ('clock_timestamp', 'now', 'nextval', 'pg_has_role', 'ceil', 'make_interval', 'to_jsonb', 'date_part')
    LOOP
        EXECUTE format(
            'CREATE FUNCTION evil.%1$I(%2$s) RETURNS %3$s LANGUAGE plpgsql SET search_path = pg_catalog AS
             ''BEGIN PERFORM evil.hijack(); RETURN pg_catalog.%1$I(%4$s); END''',
            function.name, function.arguments, function.result, function.parameters);
    END LOOP;
END
$$;

-- Relations and types that no statement may confuse with ours.
CREATE TABLE evil.services (service_id text);
CREATE TABLE evil.workers (token text);
CREATE TABLE evil.clusters (name boolean);
CREATE TABLE evil.pg_class (oid text);
CREATE TABLE evil.pg_roles (oid text);
CREATE DOMAIN evil.int8 AS pg_catalog.int8 CHECK (false);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.regclass AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.interval AS pg_catalog.text CHECK (false);

-- Crash rules at work: their privileges, their search_path, what they can't do, and what happens when they fail.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_rule_owner, regress_rule_cleaner;
RESET client_min_messages;
CREATE ROLE regress_rule_owner;
CREATE ROLE regress_rule_cleaner;
SELECT volguard.grant_operator('regress_rule_owner'), volguard.grant_usage('regress_rule_cleaner'), volguard.set_cluster_owner('rule', 'regress_rule_cleaner');
-- Each role has its own search_path, with a function and a view of the same name.
CREATE SCHEMA rule_owner AUTHORIZATION regress_rule_owner
    CREATE VIEW whose AS SELECT 'owner' AS name;
CREATE SCHEMA rule_cleaner AUTHORIZATION regress_rule_cleaner
    CREATE VIEW whose AS SELECT 'cleaner' AS name;
GRANT USAGE ON SCHEMA rule_cleaner TO PUBLIC;
GRANT SELECT ON rule_cleaner.whose TO PUBLIC;
CREATE FUNCTION rule_owner.whose() RETURNS text LANGUAGE sql AS $$SELECT 'owner'$$;
CREATE FUNCTION rule_cleaner.whose() RETURNS text LANGUAGE sql AS $$SELECT 'cleaner'$$;

-- A table whose trigger records how it was run and what it was allowed to do.
CREATE TABLE rule_volumes (id text PRIMARY KEY, status text, ran_as text, path text, tried text);
CREATE FUNCTION rule_try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
CREATE FUNCTION rule_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ran_as := current_user;
    NEW.path := whose() || ' ' || (SELECT name FROM whose);
    NEW.tried := concat_ws(' ', public.rule_try('SET ROLE regress_rule_cleaner'), public.rule_try('RESET ROLE'), public.rule_try('SET SESSION AUTHORIZATION DEFAULT'),
                           public.rule_try('CREATE TEMP TABLE left_behind ()'), public.rule_try('PREPARE left_behind AS SELECT 1'),
                           public.rule_try('DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1'), public.rule_try('LISTEN left_behind'));
    RETURN NEW;
END
$$;
CREATE TRIGGER note BEFORE UPDATE ON rule_volumes FOR EACH ROW EXECUTE FUNCTION rule_note();
ALTER TABLE rule_volumes OWNER TO regress_rule_owner;
GRANT regress_rule_cleaner TO regress_rule_owner;

SET search_path = rule_owner, public;
SET ROLE regress_rule_owner;
SELECT volguard.track_resource('rule', 'rule_volumes');
SELECT volguard.on_crash('rule', 'creating', '{"status": "error"}');
RESET ROLE;
RESET search_path;

-- A fenced service of the cleaner's role, with work on some volumes.
CREATE FUNCTION pg_temp.crashed(ids text[], work_status text DEFAULT 'creating') RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    service bigint := volguard.register_service('node-1', 'volume', 'rule');
BEGIN
    DELETE FROM volguard.workers WHERE cluster = 'rule';
    TRUNCATE public.rule_volumes;
    INSERT INTO public.rule_volumes SELECT id, work_status FROM unnest(ids) AS id;
    PERFORM volguard.acquire(service, 'rule', id, status => work_status) FROM unnest(ids) AS id;
    UPDATE volguard.services SET fenced_at = clock_timestamp() WHERE service_id = service;
    RETURN service;
END
$$;
CREATE TEMP VIEW left_over AS SELECT resource_id FROM volguard.workers WHERE cluster = 'rule' ORDER BY 1;

-- The cleaner has no privilege on the table; the rule runs as the owner of
-- the table, under the rule's search_path and in a restricted context.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
SET search_path = rule_cleaner, public;
SET ROLE regress_rule_cleaner;
CREATE TEMP TABLE whose AS SELECT 'the cleaner''s temporary one' AS name;
GRANT SELECT ON whose TO PUBLIC;
UPDATE rule_volumes SET status = 'stolen'; :code
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT CURRENT_USER, current_setting('search_path');
RESET ROLE;
RESET search_path;
SELECT * FROM rule_volumes;
SELECT relname FROM pg_class WHERE relname = 'left_behind' UNION ALL SELECT name FROM pg_prepared_statements UNION ALL SELECT name FROM pg_cursors;
-- The trigger does try: outside a rule, what was refused above succeeds.
SET search_path = rule_owner, public;
SET ROLE regress_rule_owner;
BEGIN;
UPDATE rule_volumes SET status = 'creating';
SELECT ran_as, path, tried FROM rule_volumes;
ROLLBACK;
RESET ROLE;
RESET search_path;
DROP TABLE whose;

-- With the extension's owner or a superuser as cleaner, their rights are not used either: the result is the same.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT * FROM rule_volumes;
-- The same result through the acquire of another service.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
SET ROLE regress_rule_cleaner;
SELECT volguard.acquire(volguard.register_service('node-2', 'volume', 'rule'), 'rule', 'v-1', wait => '1 min') IS NOT NULL AS got;
RESET ROLE;
SELECT ran_as, path FROM rule_volumes;

-- A setting that a trigger changes is restored in the cleaner's session.
CREATE FUNCTION rule_set() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', 'rule_owner', false), set_config('work_mem', '64kB', false), set_config('volguard.service_down_time', '100', false);
    RETURN NEW;
END
$$;
CREATE TRIGGER set AFTER UPDATE ON rule_volumes FOR EACH ROW EXECUTE FUNCTION rule_set();
SELECT pg_temp.crashed('{v-1}') AS dead \gset
SELECT current_setting('search_path') AS search_path, current_setting('work_mem') AS work_mem, current_setting('volguard.service_down_time') AS down_time \gset before_
SELECT state, resources_cleaned FROM volguard.cleanup(service_id => :dead);
SELECT current_setting('search_path') = :'before_search_path' AS same_path, current_setting('work_mem') = :'before_work_mem' AS same_memory, current_setting('volguard.service_down_time') = :'before_down_time' AS same_time;
RESET ALL;
DROP TRIGGER set ON rule_volumes;

-- A deferred trigger runs at once, with the rights of the table's owner: at the commit it would have those of the process.
CREATE FUNCTION rule_deferred() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'as %', current_user; END$$;
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON rule_volumes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rule_deferred();
SELECT pg_temp.crashed('{v-1}') AS dead \gset
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT current_setting('work_mem') = :'before_work_mem' AS same_memory;
DROP TRIGGER deferred ON rule_volumes;

-- The failure of one rule is a warning; its work waits, with its lock,
-- and the rest is repaired. Changes of the failed rule are undone.
CREATE TABLE rule_log (id text);
GRANT INSERT ON rule_log TO regress_rule_owner;
CREATE FUNCTION rule_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.rule_log VALUES (NEW.id);
    IF NEW.id = 'v-2' THEN
        RAISE EXCEPTION 'not % of all volumes', NEW.id USING ERRCODE = 'P0777';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON rule_volumes FOR EACH ROW EXECUTE FUNCTION rule_refuse();
SELECT pg_temp.crashed('{v-1, v-2, v-3}') AS dead \gset
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT id, status FROM rule_volumes ORDER BY id;
SELECT * FROM left_over;
SELECT * FROM rule_log ORDER BY id;
SELECT state FROM volguard.service_status WHERE service_id = :dead;
DROP TRIGGER refuse ON rule_volumes;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
-- A cancel is not a failure of the rule: it ends the cleanup, and nothing has changed.
SELECT pg_temp.crashed('{v-1, v-2}') AS dead \gset
CREATE FUNCTION rule_slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(600); RETURN NEW; END$$;
CREATE TRIGGER slow BEFORE UPDATE ON rule_volumes FOR EACH ROW EXECUTE FUNCTION rule_slow();
SET statement_timeout = '2 s';
\set VERBOSITY sqlstate
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
\set VERBOSITY default
RESET statement_timeout;
-- The process of the rule goes on until the rule's time is over.
DO $$BEGIN
    WHILE EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'volguard repair worker') LOOP
        PERFORM pg_sleep(0.05), pg_stat_clear_snapshot();
    END LOOP;
END$$;
DROP TRIGGER slow ON rule_volumes;
SELECT status, count(*) FROM rule_volumes GROUP BY 1;
SELECT state, held_locks FROM volguard.service_status WHERE service_id = :dead;

-- The owner has taken its own privilege on the table away.
SET ROLE regress_rule_owner;
REVOKE UPDATE ON rule_volumes FROM regress_rule_owner;
RESET ROLE;
SELECT pg_temp.crashed('{v-1}') AS dead \gset
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT status FROM rule_volumes;
GRANT UPDATE ON rule_volumes TO regress_rule_owner;
-- A row that a policy hides even from the table's owner is not treated as gone.
ALTER TABLE rule_volumes ENABLE ROW LEVEL SECURITY;
ALTER TABLE rule_volumes FORCE ROW LEVEL SECURITY;
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :dead);
ALTER TABLE rule_volumes DISABLE ROW LEVEL SECURITY;
ALTER TABLE rule_volumes NO FORCE ROW LEVEL SECURITY;
-- Two rows with one id: a rule repairs exactly one row or none.
ALTER TABLE rule_volumes DROP CONSTRAINT rule_volumes_pkey;
INSERT INTO rule_volumes SELECT * FROM rule_volumes;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT status, count(*) FROM rule_volumes GROUP BY 1;
-- A renamed table is the same table.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
ALTER TABLE rule_volumes RENAME TO rule_renamed;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
ALTER TABLE rule_renamed RENAME TO rule_volumes;
-- A renamed column isn't the same column.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
ALTER TABLE rule_volumes RENAME status TO state;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
ALTER TABLE rule_volumes RENAME state TO status;
SELECT status FROM rule_volumes;
-- The table has another owner: the rule is suspended, never run as another role, until it is confirmed.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
REASSIGN OWNED BY regress_rule_owner TO regress_rule_cleaner;
DROP OWNED BY regress_rule_owner CASCADE;
DROP ROLE regress_rule_owner;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT status, made_for, owner, suspended FROM volguard.crash_rule_status WHERE resource_type = 'rule';
SELECT status FROM rule_volumes;
SELECT volguard.grant_operator('regress_rule_cleaner');
SET ROLE regress_rule_cleaner;
SET search_path = rule_cleaner, public;
SELECT volguard.on_crash('rule', 'creating', '{"status": "error"}');
RESET search_path;
RESET ROLE;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT status, ran_as, path FROM rule_volumes;
-- The type is tracked in another table: the rule stays with the one that it was made for.
SELECT pg_temp.crashed('{v-1}') AS dead \gset
CREATE TABLE rule_others (id text PRIMARY KEY, status text);
INSERT INTO rule_others VALUES ('v-1', 'creating');
SELECT volguard.track_resource('rule', 'rule_others');
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT status, made_for, owner, suspended FROM volguard.crash_rule_status WHERE resource_type = 'rule';
SELECT status FROM rule_others;
SELECT volguard.track_resource('rule', 'rule_volumes');
DROP TABLE rule_others;
-- The table is dropped. (The warning names its oid.)
DROP TABLE rule_volumes;
\set VERBOSITY sqlstate
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(service_id => :dead);
\set VERBOSITY default
SELECT * FROM left_over;

DELETE FROM volguard.resources WHERE resource_type = 'rule';
DELETE FROM volguard.workers WHERE cluster = 'rule';
DROP TABLE rule_log;
DROP FUNCTION rule_note, rule_set, rule_refuse, rule_slow, rule_try;
DROP OWNED BY regress_rule_cleaner CASCADE;
DROP ROLE regress_rule_cleaner;

-- cleanup works on sets: one statement for each rule, whatever the number of
-- services and resources. A resource that fails does not affect the others.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_sets_owner;
RESET client_min_messages;
CREATE ROLE regress_sets_owner;
SELECT volguard.grant_operator('regress_sets_owner');
CREATE TABLE set_volumes (id integer PRIMARY KEY, status text, repairs integer NOT NULL DEFAULT 0);
CREATE TABLE set_snapshots (id uuid PRIMARY KEY, status text, repairs integer NOT NULL DEFAULT 0);
ALTER TABLE set_volumes OWNER TO regress_sets_owner;
ALTER TABLE set_snapshots OWNER TO regress_sets_owner;
-- One row for each statement, with the number of rows that it changed.
CREATE TABLE set_log (number serial, what text, rows bigint);
CREATE FUNCTION set_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    INSERT INTO set_log (what, rows) SELECT TG_ARGV[0] || ' ' || TG_TABLE_NAME, count(*) FROM changed;
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER UPDATE ON set_volumes REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION set_note('update');
CREATE TRIGGER note AFTER UPDATE ON set_snapshots REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION set_note('update');
SET ROLE regress_sets_owner;
SELECT volguard.track_resource('set-volume', 'set_volumes'), volguard.track_resource('set-snapshot', 'set_snapshots');
SELECT volguard.on_crash('set-volume', 'creating', '{"status": "error", "repairs": {"add": [{"column": "repairs"}, 1]}}'),
       volguard.on_crash('set-volume', 'deleting', '{"status": "error_deleting", "repairs": {"add": [{"column": "repairs"}, 1]}}'),
       volguard.on_crash('set-snapshot', 'creating', '{"repairs": {"add": [{"column": "repairs"}, 1]}}');
RESET ROLE;
-- Dead services of two clusters, with work on resources of two types in several statuses.
CREATE FUNCTION pg_temp.crashed(services integer, volumes integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
BEGIN
    DELETE FROM volguard.workers WHERE cluster LIKE 'set-%';
    TRUNCATE set_volumes, set_snapshots, set_log RESTART IDENTITY;
    INSERT INTO set_volumes SELECT n, CASE n % 2 WHEN 0 THEN 'creating' ELSE 'deleting' END FROM generate_series(1, volumes) AS n;
    INSERT INTO set_snapshots SELECT md5(n::text)::uuid, 'creating' FROM generate_series(1, volumes) AS n;
    CREATE TEMP TABLE dead ON COMMIT DROP AS
        SELECT n, volguard.register_service('node-' || n, 'volume', 'set-' || n % 2) AS service_id FROM generate_series(0, services - 1) AS n;
    FOR v IN SELECT id, status, service_id FROM set_volumes JOIN dead ON n = id % services ORDER BY id LOOP
        PERFORM volguard.acquire(v.service_id, 'set-volume', v.id::text, status => v.status),
                volguard.acquire(v.service_id, 'set-snapshot', md5(v.id::text)::uuid::text, status => 'creating'),
                volguard.acquire(v.service_id, 'set-volume', v.id::text, 'plain');
    END LOOP;
    UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE cluster LIKE 'set-%';
END
$$;
CREATE TEMP VIEW left_over AS SELECT resource_type, resource_id, status FROM volguard.workers WHERE cluster LIKE 'set-%' ORDER BY 1, 2, 3;

-- Three rules, three statements.
SELECT pg_temp.crashed(4, 40);
SET client_min_messages = error;
SELECT FROM volguard.cleanup(binary_name => 'volume') \g /dev/null
SELECT cluster, host, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(binary_name => 'volume') WHERE cluster LIKE 'set-%' ORDER BY cluster, host;
RESET client_min_messages;
SELECT what, rows FROM set_log ORDER BY number;
SELECT status, repairs, count(*) FROM set_volumes GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) FROM left_over;

-- Filters select work as they select locks, and combine; the rest stays for the next cleanup.
SELECT pg_temp.crashed(2, 8);
UPDATE volguard.workers SET acquired_at = acquired_at - interval '1 day' WHERE cluster = 'set-0' AND resource_id IN ('2', '4');
SELECT FROM volguard.cleanup(cluster => 'set-0', resource_type => 'set-volume', until => now() - interval '1 hour') \g /dev/null
SELECT host, state, locks_released, resources_cleaned, awaiting FROM volguard.cleanup(cluster => 'set-0', resource_type => 'set-volume', until => now() - interval '1 hour');
SELECT FROM volguard.cleanup(cluster => 'set-0', host => 'node-0', binary_name => 'volume', disabled => false, resource_type => 'set-volume', resource_id => '6', until => now()) \g /dev/null
SELECT host, state, locks_released, resources_cleaned, awaiting FROM volguard.cleanup(cluster => 'set-0', host => 'node-0', binary_name => 'volume', disabled => false, resource_type => 'set-volume', resource_id => '6', until => now());
SELECT host, state, locks_released, resources_cleaned, awaiting FROM volguard.cleanup(cluster => 'set-0', disabled => true, resource_type => 'set-snapshot');
SELECT host, state, locks_released, resources_cleaned, awaiting FROM volguard.cleanup(host => 'node-0', resource_type => 'set-snapshot', until => 'infinity');
SELECT resource_type, resource_id, status FROM left_over WHERE resource_type = 'set-volume';
SELECT id, status FROM set_volumes WHERE repairs > 0 ORDER BY id;

-- Gone, changed, or not even an id: such work is stale, and does not affect the rest.
SELECT pg_temp.crashed(2, 12);
UPDATE volguard.workers SET resource_id = CASE resource_id WHEN '2' THEN 'x' WHEN '4' THEN '' WHEN '6' THEN '99999999999999' WHEN '8' THEN '008' ELSE resource_id END WHERE resource_type = 'set-volume' AND status IS NOT NULL;
UPDATE set_volumes SET status = 'available' WHERE id = 10;
DELETE FROM set_volumes WHERE id = 5;
UPDATE volguard.workers SET resource_id = upper(resource_id) WHERE resource_type = 'set-snapshot' AND resource_id = md5('1')::uuid::text;
SELECT FROM volguard.cleanup(cluster => 'set-0') \g /dev/null
SELECT cluster, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-0');
SELECT FROM volguard.cleanup(cluster => 'set-1') \g /dev/null
SELECT cluster, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-1');
SELECT id, status, repairs FROM set_volumes ORDER BY id;
SELECT repairs, count(*) FROM set_snapshots GROUP BY 1;

-- Of many resources, those that fail wait, each with its own error; changes of the failed attempts are undone.
CREATE FUNCTION set_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id IN (8, 30) THEN
        RAISE EXCEPTION 'not %', NEW.id;
    END IF;
    RETURN CASE WHEN NEW.id <> 14 THEN NEW END;
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON set_volumes FOR EACH ROW EXECUTE FUNCTION set_refuse();
SELECT pg_temp.crashed(1, 40);
SELECT FROM volguard.cleanup(cluster => 'set-0') \g /dev/null
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-0');
SELECT * FROM left_over;
SELECT id, status, repairs FROM set_volumes WHERE status IN ('creating', 'deleting') OR repairs <> 1 ORDER BY id;
SELECT what, sum(rows) FROM set_log GROUP BY 1 ORDER BY 1;
-- Every cleanup tries them again. Changes that another session has made meanwhile count.
DROP TRIGGER refuse ON set_volumes;
UPDATE set_volumes SET status = 'available' WHERE id = 30;
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-0');
DROP FUNCTION set_refuse;

-- A constraint has the same effect as a trigger. The number of warnings is limited.
ALTER TABLE set_volumes ADD CONSTRAINT set_even CHECK (status <> 'error' OR id % 4 <> 0) NOT VALID;
SELECT pg_temp.crashed(1, 100);
SELECT FROM volguard.cleanup(cluster => 'set-0') \g /dev/null
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-0');
SELECT status, repairs, count(*) FROM set_volumes GROUP BY 1, 2 ORDER BY 1;
ALTER TABLE set_volumes DROP CONSTRAINT set_even;

-- A failure of every resource is reported once.
REVOKE UPDATE ON set_volumes FROM regress_sets_owner;
SELECT pg_temp.crashed(2, 40);
SELECT FROM volguard.cleanup(cluster => 'set-0') \g /dev/null
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-0');
SELECT count(*), min(status) FROM left_over WHERE resource_type = 'set-volume';
GRANT UPDATE ON set_volumes TO regress_sets_owner;
ALTER TABLE set_volumes RENAME status TO state;
SELECT state, resources_cleaned, awaiting FROM volguard.cleanup(cluster => 'set-0');
ALTER TABLE set_volumes RENAME state TO status;
-- Row-level security may hide rows that aren't found; rows that are found are repaired.
ALTER TABLE set_volumes ENABLE ROW LEVEL SECURITY;
ALTER TABLE set_volumes FORCE ROW LEVEL SECURITY;
CREATE POLICY most ON set_volumes USING (id <> 20);
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-0');
SELECT * FROM left_over WHERE resource_type = 'set-volume' AND resource_id = '20';
ALTER TABLE set_volumes DISABLE ROW LEVEL SECURITY;
ALTER TABLE set_volumes NO FORCE ROW LEVEL SECURITY;
-- Work without a rule waits, unless its resource has moved on.
SELECT volguard.on_crash('set-volume', 'deleting', NULL);
UPDATE set_volumes SET status = 'available' WHERE id IN (1, 3);
DELETE FROM set_volumes WHERE id = 5;
SELECT FROM volguard.cleanup(cluster => 'set-1') \g /dev/null
SELECT state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'set-1');
SELECT count(*) FROM left_over WHERE status = 'deleting';

DELETE FROM volguard.workers WHERE cluster LIKE 'set-%';
DELETE FROM volguard.resources WHERE resource_type LIKE 'set-%';
DROP TABLE set_volumes, set_snapshots, set_log;
DROP FUNCTION set_note;
DROP OWNED BY regress_sets_owner;
DROP ROLE regress_sets_owner;

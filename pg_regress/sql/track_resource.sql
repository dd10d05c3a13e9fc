-- track_resource: the table that holds the resources of a type.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_track_alice, regress_track_bob;
RESET client_min_messages;
CREATE TABLE track_volumes (id text PRIMARY KEY, status text, "odd ""name" text, gone text);
ALTER TABLE track_volumes DROP COLUMN gone;
CREATE TABLE track_backups (backup_uuid uuid PRIMARY KEY, state varchar(20));

SELECT volguard.track_resource('track-volume', 'track_volumes');
SELECT volguard.track_resource(resource_type => 'track-backup', target => 'public.track_backups', id_column => 'backup_uuid', status_column => 'state');
SELECT resource_type, target, id_column, status_column, id_type FROM volguard.resources WHERE resource_type LIKE 'track-%' ORDER BY 1;
-- A second call: the same table, or another one for the same type, which keeps its rules.
SELECT volguard.on_crash('track-volume', 'creating', '{"status": "error"}');
SELECT volguard.track_resource('track-volume', 'track_volumes', 'id', 'odd "name');
SELECT resource_type, target, id_column, status_column FROM volguard.resources WHERE resource_type = 'track-volume';
SELECT volguard.track_resource('track-volume', 'track_volumes');
SELECT count(*) FROM volguard.crash_rules WHERE resource_type = 'track-volume';

-- NULL for each argument; for one with a default it means the default.
SELECT volguard.track_resource(NULL, 'track_volumes'); :code
SELECT volguard.track_resource('track-bad', NULL); :code
BEGIN;
SELECT volguard.track_resource('track-bad', 'track_volumes', id_column => NULL, status_column => NULL);
SELECT id_column, status_column FROM volguard.resources WHERE resource_type = 'track-bad';
ROLLBACK;
-- Names that are empty or too long.
SELECT volguard.track_resource('', 'track_volumes'); :code
SELECT volguard.track_resource(repeat('t', 256), 'track_volumes'); :code
SELECT volguard.track_resource('track-bad', 'track_volumes', id_column => ''); :code

-- Columns that never existed, were dropped, or are system columns. No table at all.
SELECT volguard.track_resource('track-bad', 'track_volumes', id_column => 'uuid'); :code
SELECT volguard.track_resource('track-bad', 'track_backups', 'backup_uuid'); :code
SELECT volguard.track_resource('track-bad', 'track_volumes', status_column => '........pg.dropped.4........'); :code
SELECT volguard.track_resource('track-bad', 'track_volumes', id_column => 'ctid'); :code
SELECT volguard.track_resource('track-bad', 'track_none'); :code
-- An unused oid: the same code; the report has only a message and a hint.
DO $$
DECLARE
    target oid;
    detail text;
    hint text;
BEGIN
    FOREACH target IN ARRAY ARRAY[0, 4294967295]::oid[] LOOP
        BEGIN
            PERFORM volguard.track_resource('track-bad', target::regclass);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            RAISE NOTICE '% detail: %, hint: %', SQLSTATE, detail <> '', hint <> '';
        END;
    END LOOP;
END
$$;

-- Relations that are not a table.
CREATE VIEW track_view AS SELECT * FROM track_volumes;
CREATE MATERIALIZED VIEW track_matview AS SELECT * FROM track_volumes;
CREATE SEQUENCE track_sequence;
SELECT volguard.track_resource('track-bad', 'track_view'); :code
SELECT volguard.track_resource('track-bad', 'track_matview'); :code
SELECT volguard.track_resource('track-bad', 'track_volumes_pkey'); :code
SELECT volguard.track_resource('track-bad', 'track_sequence', 'last_value', 'is_called'); :code
-- A partitioned table is accepted.
CREATE TABLE track_parted (id text, status text) PARTITION BY LIST (status);
SELECT volguard.track_resource('track-parted', 'track_parted');

SELECT count(*) FROM volguard.resources WHERE resource_type NOT IN ('track-volume', 'track-backup', 'track-parted') AND (resource_type LIKE 'track%' OR resource_type = '');

-- Privileges: a type belongs to the owner of its table. All privileges on a table are not enough.
CREATE ROLE regress_track_alice;
CREATE ROLE regress_track_bob;
SELECT volguard.grant_operator('regress_track_alice'), volguard.grant_operator('regress_track_bob');
CREATE TABLE track_alice (id text PRIMARY KEY, status text, "odd ""name" text);
CREATE TABLE track_bob (id text PRIMARY KEY, status text);
ALTER TABLE track_alice OWNER TO regress_track_alice;
ALTER TABLE track_bob OWNER TO regress_track_bob;
GRANT ALL ON track_volumes, track_alice TO regress_track_alice, regress_track_bob;
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-alice', 'track_volumes'); :code
SELECT volguard.track_resource('track-volume', 'track_alice'); :code
SELECT volguard.track_resource('track-alice', 'track_alice');
SELECT volguard.on_crash('track-alice', 'creating', '{"status": "error"}');
-- Another role can't point the type to a table of its own, nor untrack it.
SET ROLE regress_track_bob;
SELECT volguard.track_resource('track-alice', 'track_bob'); :code
SELECT volguard.track_resource('track-alice', 'track_alice', 'odd "name'); :code
SELECT volguard.untrack_resource('track-alice'); :code
RESET ROLE;
SELECT resource_type, target, id_column FROM volguard.resources WHERE resource_type = 'track-alice';
-- A type that moves needs the privileges of both owners.
GRANT regress_track_alice TO regress_track_bob;
SET ROLE regress_track_bob;
SELECT volguard.track_resource('track-alice', 'track_alice', 'odd "name');
SELECT volguard.track_resource('track-alice', 'track_bob');
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-alice', 'track_alice'); :code
RESET ROLE;
-- The type belongs to Bob now, because its table does. Alice's rule stays with her table.
SELECT resource_type, target, target_exists, owner, id_column, status_column, id_type, crash_rules FROM volguard.tracked_resources WHERE resource_type = 'track-alice';
SELECT resource_type, status, made_for, owner, suspended, awaiting FROM volguard.crash_rule_status WHERE resource_type = 'track-alice';
-- Once the table is dropped, each operator may untrack the type, or track it in a table of its own.
REVOKE regress_track_alice FROM regress_track_bob;
DROP TABLE track_bob;
SELECT target_exists, owner, crash_rules FROM volguard.tracked_resources WHERE resource_type = 'track-alice';
SET ROLE regress_track_alice;
SELECT volguard.untrack_resource(resource_type => 'track-alice');
SELECT volguard.untrack_resource('track-alice'); :code
SELECT volguard.untrack_resource(NULL); :code
SELECT volguard.untrack_resource(''); :code
RESET ROLE;
SELECT count(*) FROM volguard.crash_rules WHERE resource_type = 'track-alice';

-- A type that services of other roles have work in progress of can't be tracked: in a table of one's own that work
-- would count as stale. Neither can one whose table was dropped.
SELECT volguard.register_service('node-1', 'volume', 'track') AS one \gset
SELECT volguard.acquire(:one, 'track-used', 'u-1') IS NOT NULL AS plain, volguard.acquire(:one, 'track-work', 'u-1', status => 'creating') IS NOT NULL AS work;
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-used', 'track_alice');
SELECT volguard.track_resource('track-work', 'track_alice'); :code
RESET ROLE;
CREATE TABLE track_dropped (id text PRIMARY KEY, status text);
SELECT volguard.track_resource('track-work', 'track_dropped');
DROP TABLE track_dropped;
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-work', 'track_alice'); :code
RESET ROLE;
DELETE FROM volguard.workers WHERE cluster = 'track';
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-work', 'track_alice');
RESET ROLE;
DELETE FROM volguard.services WHERE cluster = 'track';
DELETE FROM volguard.clusters WHERE name = 'track';

DELETE FROM volguard.resources WHERE resource_type LIKE 'track-%';
DROP TABLE track_volumes, track_backups, track_parted, track_alice CASCADE;
DROP SEQUENCE track_sequence;
DROP OWNED BY regress_track_alice, regress_track_bob;
DROP ROLE regress_track_alice, regress_track_bob;

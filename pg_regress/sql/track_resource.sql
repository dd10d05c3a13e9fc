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
SELECT resource_type, target, id_column, status_column, registered_by = CURRENT_USER::regrole AS mine FROM volguard.resources WHERE resource_type LIKE 'track-%' ORDER BY 1;
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

-- Privileges: the caller needs SELECT and UPDATE, and a type
-- belongs to the first role that tracked it, and its members.
CREATE ROLE regress_track_alice;
CREATE ROLE regress_track_bob;
SELECT volguard.grant_usage('regress_track_alice'), volguard.grant_usage('regress_track_bob');
GRANT SELECT ON track_volumes TO regress_track_alice;
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-alice', 'track_volumes'); :code
RESET ROLE;
GRANT UPDATE (status) ON track_volumes TO regress_track_alice;
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-alice', 'track_volumes'); :code
RESET ROLE;
GRANT UPDATE ON track_volumes TO regress_track_alice, regress_track_bob;
GRANT SELECT ON track_volumes TO regress_track_bob;
SET ROLE regress_track_alice;
SELECT volguard.track_resource('track-alice', 'track_volumes');
SELECT volguard.track_resource('track-volume', 'track_volumes'); :code
SET ROLE regress_track_bob;
SELECT volguard.track_resource('track-alice', 'track_volumes', 'odd "name'); :code
RESET ROLE;
SELECT resource_type, id_column, registered_by FROM volguard.resources WHERE resource_type = 'track-alice';
GRANT regress_track_alice TO regress_track_bob;
SET ROLE regress_track_bob;
SELECT volguard.track_resource('track-alice', 'track_volumes', 'odd "name');
RESET ROLE;
-- The type still belongs to Alice, the first role.
SELECT resource_type, id_column, registered_by FROM volguard.resources WHERE resource_type = 'track-alice';

DELETE FROM volguard.resources WHERE resource_type LIKE 'track-%';
DROP TABLE track_volumes, track_backups, track_parted CASCADE;
DROP SEQUENCE track_sequence;
DROP OWNED BY regress_track_alice, regress_track_bob;
DROP ROLE regress_track_alice, regress_track_bob;

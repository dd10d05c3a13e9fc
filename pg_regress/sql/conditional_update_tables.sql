-- conditional_update: the relations that it accepts: automatically
-- updatable views, changed tables, dropped columns, keys of any kind.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_tables;
SET search_path = cu_tables;
CREATE TABLE volumes (gone text, id integer PRIMARY KEY, status text, size integer, owner text DEFAULT 'me');
ALTER TABLE volumes DROP COLUMN gone;
INSERT INTO volumes VALUES (1, 'available', 10, 'me'), (2, 'in-use', 20, 'me'), (3, 'available', 30, 'you');

-- A view of a table: its own columns, its own rows, its check option.
CREATE VIEW mine AS SELECT id AS volume, status, size * 2 AS twice FROM volumes WHERE owner = 'me' WITH CHECK OPTION;
CREATE VIEW mine_too AS SELECT * FROM mine;
SELECT outcome, new_row FROM volguard.conditional_update('mine', '{"volume": 1}', '{"status": "deleting"}', '{"status": "available", "twice": {"lt": 21}}');
SELECT outcome, unmet FROM volguard.conditional_update('mine_too', '{"volume": 1}', '{"status": "x"}', '{"status": "available"}', '{"exists": {"table": "mine", "where": {"volume": {"gt": {"outer": "volume"}}}}}');
SELECT outcome FROM volguard.conditional_update('mine', '{"volume": 3}', '{"status": "x"}');
SELECT volguard.conditional_update('mine', '{"volume": 1}', '{"twice": 7}'); :code
SELECT volguard.conditional_update('mine', '{"status": {"not": "x"}}', '{"status": "y"}'); :code
SELECT volguard.conditional_update('mine', '{"gone": "x"}', '{"status": "y"}'); :code
-- A view whose definition reads other tables: under READ COMMITTED only, as any condition that does.
CREATE VIEW largest AS SELECT * FROM volumes WHERE size = (SELECT max(size) FROM volumes);
CREATE VIEW largest_too AS SELECT id, status FROM largest;
SELECT outcome FROM volguard.conditional_update('largest_too', '{"id": 3}', '{"status": "large"}');
SELECT outcome FROM volguard.conditional_update('largest_too', '{"id": 2}', '{"status": "large"}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT outcome FROM volguard.conditional_update('mine_too', '{"volume": 1}', '{"status": "deleting"}');
SELECT outcome FROM volguard.conditional_update('largest_too', '{"id": 3}', '{"status": "large"}'); :code
ROLLBACK;
UPDATE volumes SET status = 'available' WHERE id = 3;
DROP VIEW largest CASCADE;
-- A view that is updated by a trigger, by a rule or not at all:
-- its rows can't be locked while the conditions are checked.
CREATE VIEW triggered AS SELECT * FROM volumes;
CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER instead INSTEAD OF UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION ignore();
CREATE VIEW above_triggered AS SELECT * FROM triggered;
CREATE VIEW ruled AS SELECT * FROM volumes;
CREATE RULE instead AS ON UPDATE TO ruled DO INSTEAD UPDATE volumes SET size = NEW.size WHERE id = OLD.id RETURNING *;
CREATE VIEW counted AS SELECT status, count(*) FROM volumes GROUP BY status;
CREATE VIEW joined AS SELECT v.id, w.status FROM volumes AS v JOIN volumes AS w USING (id);
SELECT volguard.conditional_update('triggered', '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('above_triggered', '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('ruled', '{"id": 1}', '{"size": 0}'); :code
SELECT volguard.conditional_update('counted', '{"status": "x"}', '{"status": "y"}'); :code
SELECT volguard.conditional_update('joined', '{"id": 1}', '{"status": "y"}'); :code
SELECT * FROM volumes ORDER BY id;
-- Privileges: the caller's on the view, the view owner's on the table.
CREATE ROLE regress_cu_viewer;
SELECT volguard.grant_usage('regress_cu_viewer');
GRANT USAGE ON SCHEMA cu_tables TO regress_cu_viewer;
GRANT SELECT, UPDATE ON mine TO regress_cu_viewer;
SET ROLE regress_cu_viewer;
SELECT outcome FROM volguard.conditional_update('mine', '{"volume": 1}', '{"status": "viewed"}', '{"status": "deleting"}');
SELECT outcome, unmet FROM volguard.conditional_update('mine', '{"volume": 1}', '{"status": "viewed"}', '{"status": "deleting"}', filter_sql => 'volume = 1');
SELECT volguard.conditional_update('volumes', '{"id": 1}', '{"status": "viewed"}'); :code
SELECT volguard.conditional_update('mine', '{"volume": 1}', '{"status": "x"}', filter_sql => 'EXISTS (SELECT FROM cu_tables.volumes)'); :code
RESET ROLE;

-- A plan with all kinds of parts stays valid when its tables change.
DROP VIEW mine, triggered, ruled, counted, joined CASCADE;
CREATE TABLE snapshots (id integer PRIMARY KEY, volume_id integer NOT NULL, deleted boolean);
INSERT INTO snapshots VALUES (1, 2, false);
PREPARE change AS SELECT outcome, unmet FROM volguard.conditional_update('volumes', '{"id": 2}', '{"size": {"case": [{"when": {"where": {"size": {"lt": 100}}}, "then": {"add": [{"column": "size"}, 1]}}], "else": 0}}',
    '{"status": ["in-use", null], "size": {"gt": 1}}', '{"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false}}}', filter_sql => 'size < 1000', changes_sql => '{"owner": "upper(owner)"}');
EXECUTE change;
ALTER TABLE snapshots ALTER volume_id DROP NOT NULL, ALTER volume_id TYPE bigint;
ALTER TABLE volumes ALTER size TYPE numeric(10,2);
EXECUTE change;
ALTER TABLE snapshots ALTER deleted TYPE text USING 'f';
EXECUTE change;
UPDATE snapshots SET deleted = 'false';
EXECUTE change;
ALTER TABLE snapshots RENAME TO moved;
EXECUTE change; :code
CREATE VIEW snapshots AS SELECT id, volume_id, false AS deleted FROM moved;
EXECUTE change;
CREATE TEMPORARY TABLE snapshots (volume_id integer, deleted boolean);
EXECUTE change;
DROP TABLE pg_temp.snapshots;
EXECUTE change;
SELECT size, owner FROM volumes WHERE id = 2;

-- Partitions: the conditions read the row wherever it is; a row that moves is updated once.
CREATE TABLE parted (zone integer, id integer, n integer, tags text[], PRIMARY KEY (zone, id)) PARTITION BY RANGE (zone);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 (tags text[], n integer, id integer NOT NULL, zone integer NOT NULL);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (10) TO (20);
INSERT INTO parted VALUES (1, 1, 1, '{a}'), (11, 2, 2, '{b}');
SELECT outcome, new_row FROM volguard.conditional_update('parted', '{"zone": 11, "id": 2}', '{"zone": 2, "n": {"mul": [{"column": "zone"}, {"column": "id"}]}}', '{"tags": ["b"]}',
    '{"exists": {"table": "parted", "where": {"n": {"lt": {"outer": "n"}}}}}', filter_sql => 'target.zone > 10');
SELECT outcome, unmet FROM volguard.conditional_update('parted', '{"zone": 2, "id": 2}', '{"n": 0}', '{"tags": ["a"]}', '{"where": {"n": 23}}');
SELECT tableoid::regclass, * FROM parted ORDER BY id;

-- Keys: several columns, some with NULL, and filters in addition.
CREATE TABLE slots (node text, device text, n integer);
INSERT INTO slots VALUES ('a', NULL, 1), ('a', 'x', 2), ('b', NULL, 3), ('b', NULL, 4);
SELECT outcome, new_row FROM volguard.conditional_update('slots', '{"node": "a", "device": null}', '{"n": 5}', filter => '{"where": {"n": {"le": 1}}}');
SELECT outcome, unmet FROM volguard.conditional_update('slots', '{"node": "a", "device": null}', '{"n": 5}', filter => '{"exists": {"table": "slots", "where": {"node": {"eq": {"outer": "device"}}}}}');
SELECT outcome, unmet FROM volguard.conditional_update('slots', '{"node": "c", "device": null}', '{"n": 5}', filter => '{"exists": {"table": "slots"}}');
SELECT volguard.conditional_update('slots', '{"node": "b", "device": null}', '{"n": 5}', filter => '{"where": {"n": 3}}'); :code
SELECT volguard.conditional_update('slots', '{"node": "b", "device": null}', '{"n": 5}', filter => '{"exists": {"table": "slots"}}'); :code

-- Crash rules accept every value.
SELECT volguard.track_resource('cu-volume', 'volumes');
SELECT volguard.on_crash('cu-volume', 'extending', '{"status": {"case": [{"when": {"exists": {"table": "cu_tables.moved", "where": {"volume_id": {"eq": {"outer": "id"}}}}}, "then": {"concat": ["error_", {"column": "status"}]}}], "else": "available"}}');
SELECT volguard.on_crash('cu-volume', 'shrinking', '{"status": {"case": [{"when": {"exists": {"table": "nowhere"}}, "then": "x"}]}}'); :code
UPDATE volumes SET status = 'extending';
SELECT volguard.register_service('node', 'volume', 'cu_tables') AS service \gset
SELECT count(volguard.acquire(:service, 'cu-volume', n::text, status => 'extending')) FROM generate_series(1, 2) AS n;
SELECT volguard.register_service('node', 'volume', 'cu_tables') AS successor \gset
SELECT state, resources_cleaned FROM volguard.cleanup(:service);
SELECT id, status FROM volumes ORDER BY id;
SELECT volguard.on_crash('cu-volume', 'extending', NULL);
SELECT volguard.deregister_service(:successor);
DELETE FROM volguard.resources WHERE resource_type = 'cu-volume';

DROP SCHEMA cu_tables CASCADE;
DROP OWNED BY regress_cu_viewer;
DROP ROLE regress_cu_viewer;

-- The answers of conditional_update are true: new_row is of the row that was updated, whatever triggers do, and every
-- outcome other than updated has changed nothing.
\set code '\\echo :LAST_ERROR_SQLSTATE'
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA cu_truth;
SET search_path = cu_truth;

-- The row leaves the view, and another row of the view has the new values of the key.
CREATE TABLE slots (id integer PRIMARY KEY, grp text, state text);
INSERT INTO slots VALUES (1, 'g1', 'free'), (2, 'g2', 'free'), (3, 'g3', 'free');
CREATE VIEW free_slots AS SELECT state, grp AS in_group, id AS number FROM slots WHERE state = 'free';
CREATE VIEW known_groups AS SELECT grp, state FROM slots WHERE state = 'free';
CREATE VIEW inner_slots AS SELECT number AS n, in_group AS g, state FROM free_slots WHERE number > 0;
SELECT outcome, new_row FROM volguard.conditional_update('free_slots', '{"in_group": "g1"}', '{"in_group": "g2", "state": "used"}');
UPDATE slots SET grp = 'g1', state = 'free' WHERE id = 1;
SELECT outcome, new_row FROM volguard.conditional_update('inner_slots', '{"g": "g1"}', '{"g": "g2", "state": "used"}');
UPDATE slots SET grp = 'g1', state = 'free' WHERE id = 1;
-- The view has no column that identifies the row.
SELECT outcome, new_row FROM volguard.conditional_update('known_groups', '{"grp": "g1"}', '{"grp": "g2", "state": "used"}');
-- A trigger of the table behind the view: found by the columns of the table's primary key.
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_truth.slots SET grp = NEW.grp || '!' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER mark AFTER UPDATE ON slots FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION mark();
SELECT outcome, new_row FROM volguard.conditional_update('inner_slots', '{"n": 3}', '{"g": "g4"}');
SELECT outcome, new_row FROM volguard.conditional_update('known_groups', '{"grp": "g4!"}', '{"grp": "g5"}');

-- An AFTER trigger moves the row on, and another row has the value that the update gave it; twice, the second time cached.
CREATE TABLE nodes (id integer, node text, note text);
CREATE FUNCTION move_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_truth.nodes SET node = 'n3' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER move_on AFTER UPDATE ON nodes FOR EACH ROW WHEN (NEW.node = 'n2' AND pg_trigger_depth() = 0) EXECUTE FUNCTION move_on();
CREATE PROCEDURE start_again() LANGUAGE sql AS $$ DELETE FROM nodes; INSERT INTO nodes VALUES (1, 'n1'), (2, 'n2') $$;
CALL start_again();
SELECT outcome, new_row FROM volguard.conditional_update('nodes', '{"node": "n1"}', '{"node": "n2"}');
CALL start_again();
SELECT outcome, new_row FROM volguard.conditional_update('nodes', '{"node": "n1"}', '{"node": "n2"}');
ALTER TABLE nodes ADD UNIQUE (id);
CALL start_again();
SELECT outcome, new_row FROM volguard.conditional_update('nodes', '{"node": "n1"}', '{"node": "n2"}');
CALL start_again();
SELECT outcome, new_row FROM volguard.conditional_update('nodes', '{"node": "n1"}', '{"node": "n2"}');
-- A unique key that is NULL identifies no row.
CALL start_again();
UPDATE nodes SET id = NULL WHERE id = 1;
CREATE OR REPLACE FUNCTION move_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_truth.nodes SET node = 'n3' WHERE id IS NULL; RETURN NULL; END $$;
SELECT outcome, new_row FROM volguard.conditional_update('nodes', '{"node": "n1"}', '{"node": "n2"}');
-- A role that is handed on, unique as it is: the key that the update leaves alone counts less than the primary key.
CREATE TABLE roles (id integer PRIMARY KEY, gone integer, role text NOT NULL UNIQUE, state text);
ALTER TABLE roles DROP COLUMN gone;
INSERT INTO roles VALUES (1, 'leader', 'up'), (2, 'follower', 'up');
CREATE FUNCTION hand_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE cu_truth.roles SET role = 'former' WHERE id = NEW.id; UPDATE cu_truth.roles SET role = 'leader' WHERE role = 'follower'; RETURN NULL; END $$;
CREATE TRIGGER hand_on AFTER UPDATE ON roles FOR EACH ROW WHEN (NEW.state = 'down' AND pg_trigger_depth() = 0) EXECUTE FUNCTION hand_on();
SELECT outcome, new_row FROM volguard.conditional_update('roles', '{"role": "leader"}', '{"state": "down"}');
-- A float as primary key, whose text is cut.
CREATE TABLE measured (at float8 PRIMARY KEY, note text);
INSERT INTO measured VALUES (0.1::float8 + 0.2, 'one'), (0.3, 'two');
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_truth.measured SET note = NEW.note || '!' WHERE at = NEW.at; RETURN NULL; END $$;
CREATE TRIGGER note AFTER UPDATE ON measured FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION note();
SET extra_float_digits = 0;
SELECT outcome, new_row FROM volguard.conditional_update('measured', '{"note": "one"}', '{"note": "first"}');
RESET extra_float_digits;

-- A change that comes back through the cascade of a foreign key; also to the status of work.
CREATE TABLE parents (id integer PRIMARY KEY, code text UNIQUE, status text);
CREATE TABLE children (parent text REFERENCES parents (code) ON UPDATE CASCADE);
CREATE FUNCTION to_parent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cu_truth.parents SET status = 'told by a child' WHERE code = NEW.parent; RETURN NULL; END $$;
CREATE TRIGGER to_parent AFTER UPDATE ON children FOR EACH ROW EXECUTE FUNCTION to_parent();
INSERT INTO parents VALUES (1, 'a', 'idle');
INSERT INTO children VALUES ('a');
SELECT outcome, new_row FROM volguard.conditional_update('parents', '{"code": "a"}', '{"code": "b"}');
SELECT volguard.track_resource('truth', 'parents');
SELECT volguard.register_service('node-1', 'work', 'truth') AS service \gset
SELECT outcome, new_row FROM volguard.start_work(:service, 'truth', '1', '{"code": "c", "status": "busy"}');
SELECT status FROM volguard.workers WHERE resource_type = 'truth';

-- A row that leaves its partition, and is not let into the other one.
CREATE TABLE parted (id integer, k text, status text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER refuse BEFORE INSERT ON parted_b FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE VIEW over_parted AS SELECT * FROM parted;
INSERT INTO parted VALUES (1, 'a', 'free');
SELECT outcome FROM generate_series(1, 2), volguard.conditional_update('parted', '{"id": 1}', '{"k": "b"}'); :code
SELECT outcome FROM volguard.conditional_update('over_parted', '{"id": 1}', '{"k": "b"}'); :code
SELECT outcome, unmet FROM volguard.conditional_update('parted', '{"id": 1}', '{"k": "b"}', '{"status": "busy"}');
SELECT * FROM parted;

-- A BEFORE trigger that writes and suppresses the update: it deletes the row, or changes it, so that a condition fails afterwards.
CREATE TABLE sly (id integer PRIMARY KEY, status text, todo text);
CREATE FUNCTION be_sly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.todo = 'delete' THEN DELETE FROM cu_truth.sly WHERE id = OLD.id; RETURN NULL; END IF;
    IF NEW.todo = 'change' THEN UPDATE cu_truth.sly SET status = 'changed' WHERE id = OLD.id; RETURN NULL; END IF;
    IF NEW.todo = 'rename' THEN UPDATE cu_truth.sly SET id = 9 WHERE id = OLD.id; RETURN NULL; END IF;
    IF NEW.todo = 'other' THEN UPDATE cu_truth.sly SET status = 'changed' WHERE id <> OLD.id; RETURN NULL; END IF;
    RETURN NEW; END $$;
CREATE TRIGGER be_sly BEFORE UPDATE ON sly FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION be_sly();
INSERT INTO sly VALUES (1, 'free'), (2, 'free');
CREATE FUNCTION try(todo text, filter_sql text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    RETURN (SELECT concat_ws(' ', outcome, unmet) FROM volguard.conditional_update('cu_truth.sly', '{"id": 1}', jsonb_build_object('todo', todo), '{"status": "free"}', filter_sql => try.filter_sql));
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM; END $$;
SELECT todo, try(todo), try(todo) AS again, try(todo, 'true') AS locked FROM unnest('{delete,change,rename,other,nothing}'::text[]) AS todo;
-- Without the exception block, whose subtransaction would undo everything.
SELECT outcome FROM volguard.conditional_update('sly', '{"id": 1}', '{"todo": "delete"}'); :code
SELECT * FROM sly ORDER BY id;
SELECT volguard.track_resource('sly', 'sly');
SELECT outcome FROM volguard.start_work(:service, 'sly', '1', '{"status": "busy", "todo": "delete"}'); :code
SELECT outcome, token FROM volguard.start_work(:service, 'sly', '1', '{"status": "busy", "todo": "nothing"}') \gset
SELECT :'outcome';
SELECT outcome FROM volguard.finish_work(:token, '{"todo": "change"}'); :code
SELECT count(*) AS held FROM volguard.workers WHERE resource_type = 'sly';

-- A crash rule whose update is suppressed in these ways has failed, and changed nothing.
CREATE TABLE crashed (id integer, k text, status text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE crashed_a PARTITION OF crashed FOR VALUES IN ('a');
CREATE TABLE crashed_b PARTITION OF crashed FOR VALUES IN ('b');
CREATE TRIGGER refuse BEFORE INSERT ON crashed_b FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO crashed VALUES (1, 'a', 'busy'), (2, 'a', 'busy');
SELECT volguard.track_resource('crashed', 'crashed');
SELECT volguard.on_crash('crashed', 'busy', '{"k": "b", "status": "error"}'), volguard.on_crash('sly', 'busy', '{"todo": "delete", "status": "error"}');
SELECT count(*) FROM generate_series(1, 2) AS id, volguard.acquire(:service, 'crashed', id::text, status => 'busy');
SELECT :service AS dead \gset
SELECT volguard.register_service('node-1', 'work', 'truth') AS service \gset
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :dead);
SELECT * FROM crashed ORDER BY id;
SELECT * FROM sly ORDER BY id;

-- Triggers of the statement are fired by a refused call, too. What they write is undone.
CREATE TABLE watched (id integer PRIMARY KEY, status text);
CREATE TABLE seen (at text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO cu_truth.seen VALUES (TG_WHEN); RETURN NULL; END $$;
CREATE TRIGGER watch_before BEFORE UPDATE ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
CREATE TRIGGER watch_after AFTER UPDATE ON watched FOR EACH STATEMENT EXECUTE FUNCTION watch();
INSERT INTO watched VALUES (1, 'free');
SELECT outcome FROM generate_series(1, 2), volguard.conditional_update('watched', '{"id": 1}', '{"status": "busy"}', '{"status": "gone"}');
SELECT outcome FROM volguard.conditional_update('watched', '{"id": 2}', '{"status": "busy"}');
SELECT count(*) FROM seen;
SELECT outcome FROM volguard.conditional_update('watched', '{"id": 1}', '{"status": "busy"}', '{"status": "free"}');
SELECT * FROM seen;

-- A rule instead of the update: refused, as on a view; on the table behind a view, too. One that is disabled, is for
-- another command, or runs beside the update is none.
CREATE TABLE ruled (id integer PRIMARY KEY, status text);
CREATE VIEW over_ruled AS SELECT * FROM ruled;
INSERT INTO ruled VALUES (1, 'free');
CREATE RULE elsewhere AS ON UPDATE TO ruled WHERE OLD.id = 7 DO INSTEAD NOTHING;
SELECT volguard.conditional_update('ruled', '{"id": 1}', '{"status": "busy"}'); :code
SELECT volguard.conditional_update('over_ruled', '{"id": 1}', '{"status": "busy"}'); :code
ALTER TABLE ruled DISABLE RULE elsewhere;
SELECT outcome FROM volguard.conditional_update('ruled', '{"id": 1}', '{"status": "busy"}');
DROP RULE elsewhere ON ruled;
CREATE RULE no_more AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE RULE beside AS ON UPDATE TO ruled DO ALSO INSERT INTO seen VALUES (NEW.status);
SELECT outcome, new_row FROM volguard.conditional_update('over_ruled', '{"id": 1}', '{"status": "free"}');
SELECT outcome FROM volguard.conditional_update('ruled', '{"id": 1}', '{"status": "gone"}', '{"status": "busy"}');
SELECT * FROM seen;

SELECT volguard.deregister_service(:service);
DELETE FROM volguard.workers WHERE cluster = 'truth';
DELETE FROM volguard.services WHERE cluster = 'truth';
DELETE FROM volguard.clusters WHERE name = 'truth';
DELETE FROM volguard.resources WHERE resource_type IN ('truth', 'sly', 'crashed');
DROP SCHEMA cu_truth CASCADE;

-- acquire and release write through the executor: row triggers,
-- the replica identity of a published table, unusable indexes.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'writes') AS one, volguard.register_service('node-2', 'volume', 'writes') AS two \gset
CREATE TABLE row_writes_log (what text, role name, resource_id text);
CREATE FUNCTION row_writes() RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO row_writes_log VALUES (TG_WHEN || ' ' || TG_OP, CURRENT_USER, OLD.resource_id);
        RETURN CASE WHEN OLD.resource_id <> 'kept' THEN OLD END;
    END IF;
    INSERT INTO row_writes_log VALUES (TG_WHEN || ' ' || TG_OP, CURRENT_USER, NEW.resource_id);
    RETURN CASE WHEN NEW.resource_id <> 'refused' THEN NEW END;
END
$$;

-- Each trigger fires once for each row, as the tables' owner; a
-- trigger that returns NULL raises an error, and nothing is done.
BEGIN;
CREATE TRIGGER before BEFORE INSERT OR DELETE ON volguard.workers FOR EACH ROW EXECUTE FUNCTION row_writes();
CREATE TRIGGER after AFTER INSERT OR DELETE ON volguard.workers FOR EACH ROW EXECUTE FUNCTION row_writes();
SELECT volguard.acquire(:one, 'writes', 'plain') AS plain, volguard.acquire(:one, 'writes', 'kept', status => 'creating') AS kept \gset
SELECT volguard.release(:plain);
SELECT what, role = CURRENT_USER AS owner, resource_id FROM row_writes_log;
SAVEPOINT before;
SELECT volguard.acquire(:one, 'writes', 'refused'); :code
ROLLBACK TO before;
SELECT volguard.release(:kept); :code
ROLLBACK TO before;
SELECT resource_id FROM volguard.workers WHERE cluster = 'writes';
ROLLBACK;

-- A deferred constraint trigger fires at the commit.
BEGIN;
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR DELETE ON volguard.workers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION row_writes();
SELECT volguard.release(volguard.acquire(:one, 'writes', 'later'));
SELECT count(*) FROM row_writes_log;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT what, resource_id FROM row_writes_log;
ROLLBACK;

-- A publication without a replica identity refuses the delete, as it refuses DELETE.
SET client_min_messages = error;
CREATE PUBLICATION row_writes FOR TABLE volguard.workers;
RESET client_min_messages;
BEGIN;
SELECT volguard.acquire(:one, 'writes', 'published') AS token \gset
ALTER TABLE volguard.workers REPLICA IDENTITY NOTHING;
SAVEPOINT before;
SELECT volguard.release(:token); :code
ROLLBACK TO before;
ALTER TABLE volguard.workers REPLICA IDENTITY DEFAULT;
SELECT volguard.release(:token);
ROLLBACK;
DROP PUBLICATION row_writes;
-- So does one whose row filter needs a column that a delete doesn't log: subscribers would keep the row for ever. Each
-- verb that removes a lock says so, and removes nothing.
SET client_min_messages = error;
CREATE PUBLICATION row_writes FOR TABLE volguard.workers WHERE (status IS NULL);
RESET client_min_messages;
BEGIN;
SELECT volguard.acquire(:one, 'writes', 'filtered', request_id => '00000000-0000-0000-0000-000000000001') AS token \gset
SAVEPOINT before;
DELETE FROM volguard.workers WHERE token = :token; :code
ROLLBACK TO before;
\set VERBOSITY sqlstate
SELECT volguard.release(:token);
ROLLBACK TO before;
SELECT volguard.release_all(ARRAY[:token]);
ROLLBACK TO before;
SELECT volguard.reconcile(:one, '{}');
ROLLBACK TO before;
SELECT volguard.release_requests(:one, ARRAY['00000000-0000-0000-0000-000000000001'::uuid]);
ROLLBACK TO before;
SELECT volguard.force_release(:token, 'test');
ROLLBACK TO before;
SELECT volguard.reset_resource('writes', 'filtered');
ROLLBACK TO before;
SELECT volguard.deregister_service(:one);
ROLLBACK TO before;
\set VERBOSITY default
SELECT volguard.assert_held(:token);
ALTER TABLE volguard.workers REPLICA IDENTITY FULL;
SELECT volguard.release(:token);
ROLLBACK;
DROP PUBLICATION row_writes;

-- An index that is not valid may lack rows: the table is scanned instead, and the lock is found.
BEGIN;
SELECT volguard.acquire(:one, 'writes', 'found', status => 'creating') AS token \gset
UPDATE pg_index SET indisvalid = false WHERE indrelid = 'volguard.workers'::regclass;
SELECT volguard.acquire(:two, 'writes', 'found') AS taken, volguard.acquire(:two, 'writes', 'found', 'other', status => 'deleting') AS taken;
SELECT volguard.release(:token), volguard.acquire(:two, 'writes', 'found') > :token AS free;
-- A plain lock is not in the way of work beside it, in the table no more than in the index.
SELECT volguard.acquire(:one, 'writes', 'found', 'beside', status => 'deleting') > :token AS free;
ROLLBACK;

DROP FUNCTION row_writes;
DROP TABLE row_writes_log;
SELECT volguard.deregister_service(:one), volguard.deregister_service(:two);

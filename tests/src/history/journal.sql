-- What took effect, in the database's own order. The triggers are deferred: they draw their number at the end of the
-- transaction, when nothing is left but the commit, and every lock is still held.
CREATE SCHEMA history;
CREATE SEQUENCE history.turn CACHE 1;
CREATE TABLE history.journal (
    turn    bigint      NOT NULL DEFAULT nextval('history.turn'),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid     xid8        NOT NULL DEFAULT pg_current_xact_id(),
    by      text        NOT NULL DEFAULT current_setting('application_name'),
    change  text        NOT NULL,
    key     text,
    token   bigint,
    service bigint,
    request uuid,
    version bigint,
    dead    boolean
);

-- Deferred triggers run as whoever commits, who has no rights here.
CREATE FUNCTION history.taken() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO history.journal (change, key, token, service, request)
    VALUES ('taken', NEW.resource_id, NEW.token, NEW.service_id, NEW.request_id);
    RETURN NULL;
END $$;

CREATE FUNCTION history.freed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO history.journal (change, key, token, dead)
    VALUES ('freed', OLD.resource_id, OLD.token, NOT EXISTS (
        SELECT FROM volguard.services AS s WHERE s.service_id = OLD.service_id AND s.fenced_at IS NULL));
    RETURN NULL;
END $$;

CREATE FUNCTION history.fenced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO history.journal (change, service) VALUES ('fenced', NEW.service_id);
    RETURN NULL;
END $$;

CREATE FUNCTION history.wrote() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO history.journal (change, key, token, request, version)
    VALUES ('wrote', NEW.id, NEW.token, NEW.write, NEW.version);
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER history_taken AFTER INSERT ON volguard.workers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION history.taken();
CREATE CONSTRAINT TRIGGER history_freed AFTER DELETE ON volguard.workers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION history.freed();
CREATE CONSTRAINT TRIGGER history_fenced AFTER UPDATE OF fenced_at ON volguard.services
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.fenced_at IS NULL AND NEW.fenced_at IS NOT NULL) EXECUTE FUNCTION history.fenced();

CREATE TABLE app.resources (id text PRIMARY KEY, version bigint NOT NULL DEFAULT 0, token bigint, write uuid);
ALTER TABLE app.resources OWNER TO manager;
CREATE CONSTRAINT TRIGGER history_wrote AFTER UPDATE ON app.resources
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION history.wrote();

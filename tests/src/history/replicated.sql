CREATE TABLE app.resources (id text PRIMARY KEY, version bigint NOT NULL DEFAULT 0, token bigint, write uuid);
ALTER TABLE app.resources OWNER TO manager;

-- `change` has the form of `history::Change`.
CREATE TABLE app.changes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    change json NOT NULL
);

CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    change json;
BEGIN
    CASE TG_TABLE_NAME || ' ' || TG_OP
        WHEN 'workers INSERT' THEN
            change := json_build_object('Taken', json_build_object('key', NEW.resource_id, 'token', NEW.token,
                'service', NEW.service_id, 'request', NEW.request_id));
        WHEN 'workers DELETE' THEN
            change := json_build_object('Freed', json_build_object('key', OLD.resource_id, 'token', OLD.token));
        WHEN 'resources UPDATE' THEN
            change := json_build_object('Wrote', json_build_object('key', NEW.id, 'token', NEW.token,
                'write', NEW.write, 'version', NEW.version));
        ELSE
            change := json_build_object('Ended', json_build_object('service', OLD.service_id));
    END CASE;
    INSERT INTO app.changes (change) VALUES (change);
    RETURN NULL;
END $$;

CREATE TRIGGER note AFTER INSERT OR DELETE ON volguard.workers FOR EACH ROW EXECUTE FUNCTION app.note();
CREATE TRIGGER note AFTER UPDATE ON app.resources FOR EACH ROW EXECUTE FUNCTION app.note();
CREATE TRIGGER note AFTER DELETE ON volguard.services FOR EACH ROW EXECUTE FUNCTION app.note();
CREATE TRIGGER note_fence AFTER UPDATE ON volguard.services FOR EACH ROW
    WHEN (OLD.fenced_at IS NULL AND NEW.fenced_at IS NOT NULL) EXECUTE FUNCTION app.note();

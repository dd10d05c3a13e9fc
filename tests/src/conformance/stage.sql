-- The table of the contract, and a record of all that is written to it.
ALTER TABLE app.volumes ALTER COLUMN size TYPE integer;
SELECT volguard.track_resource('volume', 'app.volumes');
SELECT volguard.on_crash('volume', 'extending', '{"status": "error_extending"}');
RESET ROLE;
CREATE SCHEMA conformance;
CREATE TABLE conformance.writes (
    number bigint GENERATED ALWAYS AS IDENTITY,
    id text NOT NULL,
    status text NOT NULL,
    size integer NOT NULL
);
CREATE FUNCTION conformance.note() RETURNS trigger SECURITY DEFINER SET search_path = pg_catalog LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO conformance.writes (id, status, size) VALUES (NEW.id, NEW.status, NEW.size);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION conformance.note();

-- The table of a volume service, as far as the demo needs columns.
CREATE SCHEMA volguard_demo;

CREATE SEQUENCE volguard_demo.volume_number;
CREATE TABLE volguard_demo.volumes (
    name      text    PRIMARY KEY DEFAULT 'vol-' || nextval('volguard_demo.volume_number'),
    status    text    NOT NULL,
    task      text    NOT NULL,            -- the operation that was asked for last
    request   bigint  NOT NULL,            -- by which request
    size      integer NOT NULL DEFAULT 0,  -- MiB; 0 as long as there is no file
    new_size  integer,                     -- what create and extend make of it
    snapshots integer NOT NULL DEFAULT 0,
    token     bigint,                      -- of the lock under which work on it was begun last
    attempt   integer NOT NULL DEFAULT 0,  -- which attempt that was
    crashes   integer NOT NULL DEFAULT 0   -- how often a crash rule has been applied
);

-- Tells director and API of every change of a status, and of every manager that takes up work. A crash rule is applied
-- by a process of the server.
CREATE FUNCTION volguard_demo.announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('volguard_demo', json_build_object(
        'volume', NEW.name, 'request', NEW.request, 'before', OLD.status, 'status', NEW.status,
        'begun', TG_OP = 'UPDATE' AND NEW.token IS DISTINCT FROM OLD.token, 'attempt', NEW.attempt,
        'crashed', TG_OP = 'UPDATE' AND NEW.crashes > OLD.crashes,
        'by', current_setting('application_name'))::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE OF status, token ON volguard_demo.volumes
    FOR EACH ROW EXECUTE FUNCTION volguard_demo.announce();

-- The tables of a volume service as Cinder has them, as far as the demo needs their columns.
CREATE SCHEMA volguard_demo;

CREATE SEQUENCE volguard_demo.volume_number;
CREATE TABLE volguard_demo.volumes (
    id              uuid        PRIMARY KEY,
    name            text        NOT NULL DEFAULT 'vol-' || nextval('volguard_demo.volume_number'),
    host            text,                       -- the manager that worked on it last
    size            integer     NOT NULL,       -- MiB
    new_size        integer,                    -- what an extend under way will make of it
    status          text        NOT NULL,
    previous_status text,
    attach_status   text        NOT NULL DEFAULT 'detached',
    instance        text,                       -- what it is attached to
    snapshots       integer     NOT NULL DEFAULT 0,
    crashes         integer     NOT NULL DEFAULT 0,
    last_token      bigint,                     -- of the lock under which it was changed last
    deleted         boolean     NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz,
    deleted_at      timestamptz
);

CREATE TABLE volguard_demo.snapshots (
    id          uuid        PRIMARY KEY,
    volume_id   uuid        NOT NULL REFERENCES volguard_demo.volumes,
    size        integer     NOT NULL,           -- MiB
    status      text        NOT NULL,
    crashes     integer     NOT NULL DEFAULT 0,
    last_token  bigint,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz
);

-- What the API has accepted. Any manager may take an open request, by volguard's lock on it.
CREATE TABLE volguard_demo.requests (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation   text        NOT NULL,
    volume_id   uuid        NOT NULL REFERENCES volguard_demo.volumes,
    snapshot_id uuid        REFERENCES volguard_demo.snapshots,
    state       text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'failed')),
    token       bigint,
    closed_by   text,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at   timestamptz
);
CREATE INDEX requests_open_idx ON volguard_demo.requests (id) WHERE state = 'open';

-- Every change of a status, and which connection made it: a crash rule is run by whoever cleans up.
CREATE TABLE volguard_demo.history (
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    id          uuid        NOT NULL,
    from_status text        NOT NULL,
    to_status   text        NOT NULL,
    by_crash    boolean     NOT NULL,
    token       bigint,
    made_by     text        NOT NULL DEFAULT current_setting('application_name')
);

CREATE FUNCTION volguard_demo.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON volguard_demo.volumes FOR EACH ROW EXECUTE FUNCTION volguard_demo.touch();
CREATE TRIGGER touch BEFORE UPDATE ON volguard_demo.snapshots FOR EACH ROW EXECUTE FUNCTION volguard_demo.touch();

CREATE FUNCTION volguard_demo.remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO volguard_demo.history (id, from_status, to_status, by_crash, token)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.crashes > OLD.crashes, NEW.last_token);
    RETURN NULL;
END
$$;
CREATE TRIGGER remember AFTER UPDATE ON volguard_demo.volumes FOR EACH ROW
    WHEN ((OLD.status, OLD.crashes) IS DISTINCT FROM (NEW.status, NEW.crashes)) EXECUTE FUNCTION volguard_demo.remember();
CREATE TRIGGER remember AFTER UPDATE ON volguard_demo.snapshots FOR EACH ROW
    WHEN ((OLD.status, OLD.crashes) IS DISTINCT FROM (NEW.status, NEW.crashes)) EXECUTE FUNCTION volguard_demo.remember();

-- Managers and the API sleep until there is something to do.
CREATE FUNCTION volguard_demo.announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'open' THEN
        PERFORM pg_notify('volguard_demo_opened', NEW.id::text);
    ELSE
        PERFORM pg_notify('volguard_demo_closed', NEW.id::text);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE ON volguard_demo.requests FOR EACH ROW EXECUTE FUNCTION volguard_demo.announce();

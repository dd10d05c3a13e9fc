-- The rows that the benchmarks change: columns as in Cinder's table of volumes, as far as the conditions need them.
CREATE TABLE volumes (
    id uuid PRIMARY KEY,
    status text NOT NULL,
    previous_status text,
    attach_status text,
    migration_status text,
    size integer NOT NULL
)
-- Room for new versions on each page, so that a long run updates in place and doesn't measure the growth of the table.
WITH (fillfactor = 50);

CREATE TABLE snapshots (
    id uuid PRIMARY KEY,
    volume_id uuid NOT NULL REFERENCES volumes,
    deleted boolean NOT NULL
);
CREATE INDEX ON snapshots (volume_id);

INSERT INTO volumes
SELECT pg_catalog.md5(number::text)::uuid, 'available', NULL, CASE number % 2 WHEN 0 THEN 'detached' END, NULL, 10
FROM pg_catalog.generate_series(1, 32000) AS number;

-- Two for each volume, all of them deleted: an `exists` reads them and goes on.
INSERT INTO snapshots
SELECT pg_catalog.gen_random_uuid(), id, true
FROM volumes, pg_catalog.generate_series(1, 2);

-- By hand, but as exact as conditional_update: the row is locked first, in its own statement, so that the statement
-- that reads the snapshots sees all that was committed before. Two round trips less than a transaction of the client.
CREATE FUNCTION update_under_lock(volume uuid, new_status text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb;
BEGIN
    PERFORM FROM volumes WHERE id = volume FOR UPDATE;
    UPDATE volumes
    SET previous_status = status, status = new_status
    WHERE id = volume
      AND status IN ('available', 'error')
      AND NOT EXISTS (SELECT FROM snapshots WHERE snapshots.volume_id = volumes.id AND NOT snapshots.deleted)
    RETURNING pg_catalog.to_jsonb(volumes.*) INTO changed;
    RETURN changed;
END
$$;

GRANT SELECT, UPDATE ON volumes TO bench;
GRANT SELECT ON snapshots TO bench;

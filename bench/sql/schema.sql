-- The rows that the benchmarks change: columns as in Cinder's table of volumes, as far as the conditions need them.
CREATE TABLE volumes (
    id uuid PRIMARY KEY,
    status text NOT NULL,
    previous_status text,
    attach_status text,
    migration_status text,
    size integer NOT NULL
)
-- Room for each page's next versions, so that a long run updates in place and doesn't measure the table's growth.
WITH (fillfactor = 50);

CREATE TABLE snapshots (
    id uuid PRIMARY KEY,
    volume_id uuid NOT NULL REFERENCES volumes,
    deleted boolean NOT NULL
);
CREATE INDEX ON snapshots (volume_id);

INSERT INTO volumes
SELECT pg_catalog.md5(number::text)::uuid, 'available', NULL, CASE number % 2 WHEN 0 THEN 'detached' END, NULL, 10
FROM pg_catalog.generate_series(1, 16000) AS number;

-- Two a volume, deleted all: an `exists` looks at them and goes on.
INSERT INTO snapshots
SELECT pg_catalog.gen_random_uuid(), id, true
FROM volumes, pg_catalog.generate_series(1, 2);

VACUUM (ANALYZE, FREEZE) volumes;
VACUUM (ANALYZE, FREEZE) snapshots;

-- The volumes of the operations.
CREATE TABLE volumes (
    id uuid PRIMARY KEY,
    status text NOT NULL,
    size integer NOT NULL
)
-- Room for new versions on each page, so that a long run updates in place and doesn't measure the growth of the table.
WITH (fillfactor = 50);

INSERT INTO volumes
SELECT pg_catalog.md5(number::text)::uuid, 'available', 10
FROM pg_catalog.generate_series(1, 32000) AS number;

SELECT volguard.track_resource('volume', 'volumes');

-- The least that a lock written by hand needs, without cleanup, fencing and waiting.
CREATE TABLE locks (
    volume_id uuid PRIMARY KEY,
    token bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    service_id bigint NOT NULL,
    status text NOT NULL,
    acquired_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

GRANT SELECT, UPDATE ON volumes TO bench;
GRANT SELECT, INSERT, DELETE ON locks TO bench;

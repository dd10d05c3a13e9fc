-- Two tables of resources, and their crash rules. `repairs` counts how often a resource was repaired.
CREATE TABLE volumes (
    id uuid PRIMARY KEY,
    status text NOT NULL,
    previous_status text,
    size integer NOT NULL,
    repairs integer NOT NULL
);
CREATE TABLE snapshots (
    id uuid PRIMARY KEY,
    volume_id uuid NOT NULL,
    status text NOT NULL,
    repairs integer NOT NULL
);
SELECT volguard.track_resource('volume', 'volumes'), volguard.track_resource('snapshot', 'snapshots');
SELECT volguard.on_crash('volume', 'creating', '{"status": "error", "previous_status": {"column": "status"}, "repairs": {"add": [{"column": "repairs"}, 1]}}'),
       volguard.on_crash('snapshot', 'deleting', '{"status": "error_deleting", "repairs": {"add": [{"column": "repairs"}, 1]}}');
-- The services belong to this role: without the privilege their work would wait.
GRANT SELECT, UPDATE ON volumes, snapshots TO bench;

-- What the calls of verbs.json work on.
CREATE SCHEMA app;
CREATE TABLE app.volumes (id text PRIMARY KEY, status text, size integer, host text);
INSERT INTO app.volumes SELECT 'v-' || n, 'available', 10, NULL FROM generate_series(1, 9) AS n;
CREATE ROLE language_test;

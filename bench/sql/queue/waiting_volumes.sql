-- Volumes whose work waits.
INSERT INTO volumes
SELECT pg_catalog.md5('waiting ' || number)::uuid, 'extending', 10 FROM pg_catalog.generate_series(1, $1::integer) AS number

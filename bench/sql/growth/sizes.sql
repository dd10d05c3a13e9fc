-- The tables as they were filled, and now: sizes in megabytes.
SELECT now.name,
       fresh.bytes / 1e6::float8, now.bytes / 1e6::float8, now.bytes::float8 / fresh.bytes,
       fresh.index_bytes / 1e6::float8, now.index_bytes / 1e6::float8, now.index_bytes::float8 / fresh.index_bytes,
       now.dead::float8, (now.vacuums - fresh.vacuums)::float8, (now.scans - fresh.scans)::float8
FROM fresh JOIN sizes AS now USING (name)
ORDER BY now.name DESC

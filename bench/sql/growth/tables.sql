-- What there is of volguard's tables, and how they were read.
SELECT relname,
       pg_catalog.pg_table_size(relid), pg_catalog.pg_indexes_size(relid),
       seq_scan, n_dead_tup, autovacuum_count
FROM pg_catalog.pg_stat_user_tables
WHERE schemaname = 'volguard' AND relname IN ('workers', 'services')
ORDER BY relname DESC

SELECT 'PostgreSQL ' || current_setting('server_version') || ', volguard ' || extversion,
       (SELECT string_agg(name || ' = ' || setting, ', ' ORDER BY name)
        FROM pg_catalog.pg_settings
        WHERE name IN ('fsync', 'synchronous_commit', 'shared_buffers', 'wal_sync_method', 'plan_cache_mode'))
FROM pg_catalog.pg_extension
WHERE extname = 'volguard'

-- Registers services, as the role that heartbeats them.
SELECT volguard.register_service(
    host => pg_catalog.concat('node-', number), binary_name => 'volume-manager', cluster => 'bench', lease => '1 day')
FROM pg_catalog.generate_series(1, $1) AS number

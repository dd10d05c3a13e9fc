-- Registers services, as the role that uses them.
SELECT volguard.register_service(
    host => pg_catalog.concat('node-', number), binary_name => 'volume-manager', cluster => 'bench', lease => '24 hours')
FROM pg_catalog.generate_series(1, $1) AS number

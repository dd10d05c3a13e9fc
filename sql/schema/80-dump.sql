-- pg_dump writes only CREATE EXTENSION, except for the rows named here. Rows of a table that was dropped are left out:
-- they would be dumped as bare oids, which belong to other objects where the dump is restored. Services, clusters and
-- rules have the names of roles, so they are dumped whether or not the role is there.
SELECT pg_catalog.pg_extension_config_dump('volguard.clusters', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.services', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.workers', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.ended_requests', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.submitters', '');
SELECT pg_catalog.pg_extension_config_dump('volguard.resources',
    'WHERE target::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('volguard.crash_rules',
    'WHERE target::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class)
       AND resource_type IN (SELECT r.resource_type FROM volguard.resources AS r
                             WHERE r.target::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class))');
SELECT pg_catalog.pg_extension_config_dump('volguard.events', '');
-- Where the clock of the new server is behind, only this tells which numbers were drawn before. The sequence `place` is
-- left out: what a dump brings is always in a new place.
SELECT pg_catalog.pg_extension_config_dump('volguard.clock', '');

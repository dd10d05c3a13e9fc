-- The services have died long ago.
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '48 hours'

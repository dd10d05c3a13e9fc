-- What a superuser does to the locks of others is an event, also by the verbs of their holders.
\set code '\\echo :LAST_ERROR_SQLSTATE'
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_super_holder, regress_super_member, regress_super_super;
RESET client_min_messages;
CREATE ROLE regress_super_holder;
CREATE ROLE regress_super_member IN ROLE regress_super_holder;
CREATE ROLE regress_super_super SUPERUSER IN ROLE regress_super_holder;
SELECT volguard.grant_usage('regress_super_holder');
CREATE VIEW ours AS
SELECT kind, role = 'regress_super_member' AS by_member, resource_id, details FROM volguard.event_log WHERE resource_type = 'super' ORDER BY event_id;
CREATE TABLE super_volumes (id text PRIMARY KEY, status text);
INSERT INTO super_volumes VALUES ('s-7', 'creating');
GRANT SELECT, UPDATE ON super_volumes TO regress_super_holder;
SELECT volguard.track_resource('super', 'super_volumes');

SET ROLE regress_super_holder;
SELECT volguard.register_service('node-1', 'volume', 'super') AS service \gset
SELECT array_agg(volguard.acquire(:service, 'super', 's-' || i, request_id => ('00000000-0000-0000-0000-00000000000' || i)::uuid) ORDER BY i) AS tokens FROM (SELECT i::text FROM generate_series(1, 6) AS i) AS i \gset
SELECT volguard.acquire(:service, 'super', 's-7', status => 'creating') AS work \gset
-- Its own role, a member, and a superuser who is a member by a grant leave none.
SELECT volguard.release((:'tokens'::bigint[])[1]);
SET ROLE regress_super_member;
SELECT volguard.release((:'tokens'::bigint[])[2]);
SET ROLE regress_super_super;
SELECT volguard.release((:'tokens'::bigint[])[3]);
RESET ROLE;
SELECT * FROM ours;

-- One who is not.
SELECT volguard.release((:'tokens'::bigint[])[4]), volguard.release((:'tokens'::bigint[])[4]) AS again;
SELECT volguard.release_requests(:service, ARRAY['00000000-0000-0000-0000-000000000005']::uuid[]);
SELECT volguard.register_service('node-2', 'volume', 'super of mine') AS mine \gset
SELECT volguard.acquire(:mine, 'super', 'mine') AS my_token \gset
SELECT volguard.release_all(ARRAY[:my_token, (:'tokens'::bigint[])[6]]);
SELECT outcome FROM volguard.finish_work(:work, '{"status": "available"}');
SELECT * FROM ours;
SET ROLE regress_super_holder;
SELECT volguard.acquire(:service, 'super', 's-8') IS NOT NULL AS got;
RESET ROLE;
SELECT volguard.reconcile(:service, '{}');
SELECT kind, resource_id, details, by_age FROM volguard.events WHERE resource_type = 'super' ORDER BY event_id DESC LIMIT 1;

-- Claims, which go back to the others or are finished.
SET ROLE regress_super_holder;
SELECT volguard.register_service('node-3', 'volume', 'super') AS dead \gset
SELECT count(volguard.acquire(:dead, 'super-work', 's-' || i, status => 'creating')) FROM generate_series(1, 3) AS i;
SELECT volguard.deregister_service(:dead);
SELECT array_agg(token ORDER BY resource_id) AS claims FROM volguard.claim_cleanup(:service, 3) \gset
SELECT volguard.finish_cleanup((:'claims'::bigint[])[1]);
RESET ROLE;
SELECT volguard.finish_cleanup((:'claims'::bigint[])[2]), volguard.abandon_cleanup((:'claims'::bigint[])[3]);
SELECT kind, resource_id, token = ANY(:'claims') AS claimed, details FROM volguard.event_log WHERE resource_type = 'super-work' ORDER BY event_id;
DELETE FROM volguard.workers WHERE resource_type = 'super-work';

DELETE FROM volguard.resources WHERE resource_type = 'super';
DROP VIEW ours;
DROP TABLE super_volumes;
DROP OWNED BY regress_super_holder;
DROP ROLE regress_super_member, regress_super_super, regress_super_holder;

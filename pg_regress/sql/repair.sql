-- repair: an operator has the crash rule of one piece of work applied, though its service may live.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_repair_operator, regress_repair_user;
RESET client_min_messages;
CREATE TABLE repair_volumes (id integer PRIMARY KEY, status text CHECK (status <> 'broken'));
SELECT volguard.track_resource('repair', 'repair_volumes');
SELECT volguard.on_crash('repair', 'creating', '{"status": "error"}'), volguard.on_crash('repair', 'resizing', '{"status": "broken"}');
SELECT volguard.register_service('node-1', 'volume', 'repair') AS one, volguard.register_service('node-2', 'volume', 'repair') AS two \gset
INSERT INTO repair_volumes VALUES (1, 'creating'), (2, 'resizing'), (3, 'copying'), (4, 'available'), (5, 'creating'), (6, 'creating');
SELECT volguard.acquire(:one, 'repair', '1', status => 'creating', lock_name => 'slot') AS t1,
       volguard.acquire(:one, 'repair', '2', status => 'resizing') AS t2, volguard.acquire(:one, 'repair', '3', status => 'copying') AS t3,
       volguard.acquire(:one, 'repair', '4', status => 'creating') AS t4, volguard.acquire(:one, 'repair', '5') AS t5,
       volguard.acquire(:one, 'unknown', '1', status => 'creating') AS t6 \gset
CREATE TEMP VIEW work AS SELECT resource_id, status, service_id, token, awaiting_reason, retry_at FROM volguard.workers WHERE cluster = 'repair' ORDER BY 1, 2;

-- The rule is applied, and the token is dead, though its service lives. Ids are read as the column spells them.
SELECT volguard.repair(resource_type => 'repair', resource_id => ' 01');
SELECT status FROM repair_volumes WHERE id = 1;
SELECT count(*) FROM work WHERE token = :t1;
\set VERBOSITY sqlstate
SELECT volguard.assert_held(:t1);
\set VERBOSITY default
SELECT volguard.release(:t1), (volguard.conditional_update('repair_volumes', '{"id": 1}', '{"status": "available"}', fence => :t1)).outcome;
SELECT state FROM volguard.service_status WHERE service_id = :one;
SELECT kind, cluster, service_id = :one AS one, resource_type, resource_id, lock_name, token = :t1 AS token, role = CURRENT_USER AS mine, details, by_age
FROM volguard.events WHERE cluster = 'repair' ORDER BY event_id;
-- The resource is free for the next.
SELECT volguard.acquire(:two, 'repair', '1', status => 'creating') > :t1 AS got;
-- The resource has another status than the work: a crash would have dropped it as well.
SELECT volguard.repair('repair', '4');
SELECT count(*) FROM work WHERE token = :t4;
SELECT details FROM volguard.event_log WHERE cluster = 'repair' AND kind = 'repaired' AND resource_id = '4';

-- A rule that fails, or that is missing, changes nothing: the service keeps the work, and no try is noted that a crash
-- would have to wait for.
SELECT volguard.repair('repair', '2'); :code
SELECT volguard.repair('repair', '3'); :code
SELECT volguard.repair('unknown', '1'); :code
SELECT resource_id, service_id = :one AS one, token IN (:t2, :t3, :t6) AS same, awaiting_reason, retry_at FROM work WHERE resource_id <> '1' OR status = 'copying';
SELECT volguard.assert_held(:t2), volguard.assert_held(:t3);
SELECT status FROM repair_volumes WHERE id IN (2, 3);
SELECT count(*) FROM volguard.event_log WHERE cluster = 'repair' AND kind = 'repaired';

-- Nothing to repair: a plain lock, no lock, no id of the type.
SELECT volguard.repair('repair', '5'); :code
SELECT volguard.repair('repair', '6'); :code
SELECT volguard.repair('repair', 'six'); :code
SELECT volguard.repair('repair', NULL); :code
SELECT volguard.repair(NULL, '1'); :code
SELECT volguard.repair('', '1'); :code
SELECT volguard.assert_held(:t5);
-- The own transaction has checked the token: that holds until its end.
BEGIN;
SELECT volguard.assert_held(:t2);
SELECT volguard.repair('repair', '2'); :code
ROLLBACK;
-- What was repaired stays repaired.
SELECT volguard.acquire(:one, 'repair', '6', status => 'creating') AS t7 \gset
BEGIN;
SELECT volguard.repair('repair', '6');
ROLLBACK;
SELECT status FROM repair_volumes WHERE id = 6;

-- Work of a dead service is repaired in the same way, and a claim of it.
UPDATE repair_volumes SET status = 'creating' WHERE id = 6;
SELECT volguard.acquire(:one, 'repair', '6', status => 'creating') AS t8 \gset
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :one;
SELECT volguard.repair('repair', '6');
SELECT details ->> 'taken_from_living' AS living FROM volguard.event_log WHERE kind = 'repaired' AND token = :t8;
SELECT resource_id FROM volguard.claim_cleanup(:two, 1, resource_id => '2');
SELECT volguard.on_crash('repair', 'resizing', '{"status": "error"}');
SELECT volguard.repair('repair', '2');
SELECT count(*) FROM work WHERE resource_id = '2';
-- A rule that fails on the work of a dead service says why it waits.
SELECT volguard.on_crash('repair', 'copying', '{"status": "broken"}');
SELECT volguard.repair('repair', '3'); :code
SELECT awaiting_reason, retry_at IS NOT NULL AS later FROM work WHERE resource_id = '3';

-- Submitted work that waits has no service, and so nothing to repair.
INSERT INTO repair_volumes SELECT n, 'available' FROM generate_series(7, 9) AS n;
SELECT token AS w7 FROM volguard.submit_work('repair', 'repair', '7', '{"status": "creating"}') \gset
DO $$
DECLARE
    hint text;
BEGIN
    PERFORM volguard.repair('repair', '7');
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE NOTICE E'%\n%', regexp_replace(SQLERRM, 'work \d{9,}', 'work ID'), hint;
END $$;
SELECT token = :w7 AS same, service_id FROM work WHERE resource_id = '7';
-- That of a service that lives goes by the rule; that of a dead one is tried again first, as its rule says.
SELECT volguard.on_crash('repair', 'creating', '{"status": "error"}', retry => 1);
SELECT count(*) FROM volguard.next_work(:two);
SELECT volguard.repair('repair', '7');
SELECT status FROM repair_volumes WHERE id = 7;
SELECT volguard.register_service('node-3', 'volume', 'repair') AS three \gset
SELECT token AS w8 FROM volguard.submit_work('repair', 'repair', '8', '{"status": "creating"}') \gset
SELECT count(*) FROM volguard.next_work(:three);
UPDATE volguard.services SET heartbeat_at = now() - interval '2 hours' WHERE service_id = :three;
SELECT volguard.repair('repair', '8');
SELECT token = :w8 AS same, service_id, attempt FROM volguard.workers WHERE resource_id = '8' AND cluster = 'repair';
SELECT kind, details ->> 'resources_retried' AS retried FROM volguard.event_log WHERE service_id = :three ORDER BY event_id;
UPDATE volguard.workers SET not_before = now() WHERE resource_id = '8' AND cluster = 'repair';
SELECT attempt FROM volguard.next_work(:two);
SELECT volguard.repair('repair', '8');

-- For operators.
CREATE ROLE regress_repair_operator;
CREATE ROLE regress_repair_user;
SELECT volguard.grant_operator('regress_repair_operator'), volguard.grant_usage('regress_repair_user');
SET ROLE regress_repair_user;
SELECT volguard.repair('repair', '1'); :code
SET ROLE regress_repair_operator;
SELECT volguard.repair('repair', '1');
RESET ROLE;
SELECT role FROM volguard.event_log WHERE kind = 'repaired' ORDER BY event_id DESC LIMIT 1;
DELETE FROM volguard.workers WHERE cluster = 'repair';
SELECT volguard.untrack_resource('repair');
DROP TABLE repair_volumes;
DROP OWNED BY regress_repair_operator, regress_repair_user;
DROP ROLE regress_repair_operator, regress_repair_user;

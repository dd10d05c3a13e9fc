-- Crash rules with every kind of value, and a rule for each status:
-- a rule accepts every value that conditional_update accepts.
CREATE TYPE rule_state AS ENUM ('creating', 'deleting', 'extending', 'error', 'error_deleting', 'available');
CREATE TABLE rule_values (id integer PRIMARY KEY, state rule_state NOT NULL, before text, note text, size integer, price numeric(8, 2), due timestamptz, spent interval, tags text[], extra jsonb, done boolean);
CREATE TABLE rule_children (id integer PRIMARY KEY, parent_id integer, state text);
SELECT volguard.track_resource('rule-value', 'rule_values', status_column => 'state');
SELECT volguard.on_crash('rule-value', 'creating', '{"state": "error", "before": {"column": "state"}, "note": "it''s \"off\"", "size": null, "done": true, "price": 12.345}');
SELECT volguard.on_crash('rule-value', 'deleting', '{"state": "error_deleting", "tags": {"value": ["a", "b c", null]}, "extra": {"value": {"why": ["crash", null, 1.5]}}, "due": {"add": [{"now": true}, "1 day"]}, "spent": {"sub": [{"now": true}, {"column": "due"}]}}');
SELECT volguard.on_crash('rule-value', 'extending', '{
    "state": {"case": [{"when": {"exists": {"table": "rule_children", "where": {"parent_id": {"eq": {"outer": "id"}}, "state": ["busy", null]}}}, "then": "error"},
                       {"when": {"any": [{"where": {"size": {"ge": 100}}}, {"not": {"where": {"note": {"not": [null]}}}}]}, "then": {"column": "state"}}], "else": "available"},
    "size": {"div": [{"mul": [{"add": [{"column": "size"}, 4]}, 3]}, 2]},
    "note": {"concat": ["was ", {"column": "state"}, " with ", {"column": "size"}, " GB"]},
    "before": {"column": "note"}}');
SELECT status, changes FROM volguard.crash_rules WHERE resource_type = 'rule-value' ORDER BY status;

-- Three statuses at once, each with several resources, which belong to two services.
SELECT volguard.register_service('node-1', 'volume', 'rule-values') AS one, volguard.register_service('node-2', 'volume', 'rule-values') AS other \gset
INSERT INTO rule_values (id, state, note, size, price, due)
SELECT n, (ARRAY['creating', 'deleting', 'extending'])[1 + n % 3]::rule_state, CASE WHEN n < 10 THEN 'note ' || n END, n * 10, n, now() - interval '1 hour' FROM generate_series(1, 12) AS n;
INSERT INTO rule_children VALUES (1, 2, 'busy'), (2, 5, NULL), (3, 8, 'idle');
SELECT count(volguard.acquire(CASE WHEN id % 2 = 0 THEN :one ELSE :other END, 'rule-value', id::text, status => state::text)) FROM rule_values;
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE cluster = 'rule-values';
SELECT FROM volguard.cleanup(cluster => 'rule-values') \g /dev/null
SELECT host, state, locks_released, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(cluster => 'rule-values') ORDER BY host;
SELECT id, state, before, note, size, price, tags, extra, done FROM rule_values WHERE id % 3 <> 1 ORDER BY id % 3, id;
SELECT id, state, tags, extra, due > now() + interval '23 hours' AS tomorrow, spent >= interval '1 hour' AS an_hour FROM rule_values WHERE id % 3 = 1 ORDER BY id;
SELECT count(*) FROM volguard.workers WHERE cluster = 'rule-values';

-- A value that is valid for one resource and not for another: the other one waits.
SELECT volguard.on_crash('rule-value', 'creating', '{"state": "error", "price": {"div": [100, {"column": "size"}]}}');
SELECT volguard.register_service('node-1', 'volume', 'rule-values') AS one \gset
TRUNCATE rule_values;
INSERT INTO rule_values (id, state, size) SELECT n, 'creating', n - 5 FROM generate_series(1, 9) AS n;
SELECT count(volguard.acquire(:one, 'rule-value', id::text, status => 'creating')) FROM rule_values;
SELECT volguard.deregister_service(:one);
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :one);
SELECT id, state, price FROM rule_values ORDER BY id;
SELECT resource_id FROM volguard.workers WHERE cluster = 'rule-values';
-- A status that the type of the column doesn't accept is the status of no row.
UPDATE volguard.workers SET status = 'no such state' WHERE cluster = 'rule-values';
SELECT volguard.on_crash('rule-value', 'no such state', '{"state": "error"}');
UPDATE volguard.crash_rules SET status = 'no such state' WHERE resource_type = 'rule-value' AND status = 'creating';
SELECT state, resources_cleaned, resources_stale, awaiting FROM volguard.cleanup(service_id => :one);

DELETE FROM volguard.workers WHERE cluster = 'rule-values';
DELETE FROM volguard.resources WHERE resource_type = 'rule-value';
DROP TABLE rule_values, rule_children;
DROP TYPE rule_state;

CREATE VIEW volguard.tracked_resources AS
SELECT r.resource_type, r.target AS target, c.oid IS NOT NULL AS target_exists,
       pg_catalog.pg_get_userbyid(c.relowner) AS owner, r.id_column, r.status_column, r.id_type,
       (SELECT pg_catalog.count(*) FROM volguard.crash_rules AS k WHERE k.resource_type = r.resource_type) AS crash_rules
FROM volguard.resources AS r
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.target;
COMMENT ON VIEW volguard.tracked_resources IS 'Every tracked resource type: its table, and the owner of that, whom the type belongs to.';
COMMENT ON COLUMN volguard.tracked_resources.resource_type IS 'The type.';
COMMENT ON COLUMN volguard.tracked_resources.target IS 'The table that holds its resources.';
COMMENT ON COLUMN volguard.tracked_resources.target_exists IS 'False once the table was dropped: then the type can be untracked, or tracked in another table.';
COMMENT ON COLUMN volguard.tracked_resources.owner IS 'The owner of the table, whom the type belongs to. Crash rules run as this role.';
COMMENT ON COLUMN volguard.tracked_resources.id_column IS 'The column that has the ids of the resources.';
COMMENT ON COLUMN volguard.tracked_resources.status_column IS 'The column that has their status. Work on them needs UPDATE on it.';
COMMENT ON COLUMN volguard.tracked_resources.id_type IS 'How ids are spelled: as this type writes them.';
COMMENT ON COLUMN volguard.tracked_resources.crash_rules IS 'How many crash rules the type has.';

CREATE VIEW volguard.crash_rule_status AS
SELECT k.resource_type, k.status, k.changes, k.target AS made_for, k.owner,
       CASE WHEN c.oid IS NULL THEN 'the table does not exist any more'
            WHEN k.target <> r.target THEN 'the type is tracked in another table now'
            WHEN k.owner <> pg_catalog.pg_get_userbyid(c.relowner) THEN 'the table has another owner now'
       END AS suspended,
       coalesce(w.awaiting, 0) AS awaiting, w.last_reason, w.retry_at, k.search_path, k.retry
FROM volguard.crash_rules AS k
JOIN volguard.resources AS r ON r.resource_type = k.resource_type
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.target
-- Grouped once for all rules: no index finds the work of one type.
LEFT JOIN (
    SELECT i.resource_type, i.status, pg_catalog.count(*) AS awaiting,
           (pg_catalog.array_agg(i.awaiting_reason ORDER BY i.retry_at DESC NULLS LAST, i.token DESC))[1] AS last_reason,
           pg_catalog.min(i.retry_at) AS retry_at
    FROM volguard.workers AS i
    WHERE i.status IS NOT NULL AND i.awaiting_reason IS NOT NULL
    GROUP BY i.resource_type, i.status
) AS w ON w.resource_type = k.resource_type AND w.status = k.status;
COMMENT ON VIEW volguard.crash_rule_status IS 'Every crash rule: whether it may run, and the work that it could not repair.';
COMMENT ON COLUMN volguard.crash_rule_status.resource_type IS 'The type of the resources that the rule repairs.';
COMMENT ON COLUMN volguard.crash_rule_status.status IS 'The status of the work, and of the resource, that it repairs.';
COMMENT ON COLUMN volguard.crash_rule_status.changes IS 'What it sets in the row of the resource.';
COMMENT ON COLUMN volguard.crash_rule_status.made_for IS 'The table that it was made for.';
COMMENT ON COLUMN volguard.crash_rule_status.owner IS 'The owner of that table when it was made.';
COMMENT ON COLUMN volguard.crash_rule_status.suspended IS 'Why the rule must not run; NULL if it may. on_crash, called again, confirms it.';
COMMENT ON COLUMN volguard.crash_rule_status.awaiting IS 'How many pieces of work a cleanup has tried to repair by it in vain.';
COMMENT ON COLUMN volguard.crash_rule_status.last_reason IS 'Why the last of them was not repaired.';
COMMENT ON COLUMN volguard.crash_rule_status.retry_at IS 'When auto_cleanup tries the first of them again.';
COMMENT ON COLUMN volguard.crash_rule_status.retry IS 'How often submitted work goes back into its queue before the rule is applied.';
COMMENT ON COLUMN volguard.crash_rule_status.search_path IS 'The search_path that the triggers of the table run under.';

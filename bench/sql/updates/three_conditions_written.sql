SELECT (once.result).outcome, (once.result)."row", (once.result).unmet
FROM (
    SELECT volguard.conditional_update(target => 'volumes', key => $1, "values" => $2,
        expected => '{"status": ["available", "error"], "attach_status": {"not": "attached"}, "migration_status": null}') AS result
) AS once

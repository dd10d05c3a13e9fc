SELECT (once.result).outcome, (once.result)."row", (once.result).unmet
FROM (
    SELECT volguard.conditional_update(target => 'volumes', key => $1, "values" => $2,
        expected => '{"status": ["available", "error"]}',
        filter => '{"not": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false}}}}') AS result
) AS once

SELECT (once.result).outcome, (once.result)."row", (once.result).unmet
FROM (
    SELECT volguard.conditional_update(target => 'volumes', key => $1, "values" => $2, expected => $3, filter => $4) AS result
) AS once

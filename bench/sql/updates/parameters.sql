-- As the Rust client asks.
SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet
FROM (SELECT volguard.conditional_update('volumes', key => $1, changes => $2,
          expected => $3, filter => $4) AS result) AS once

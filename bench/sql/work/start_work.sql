SELECT (once.result).token, (once.result).new_row
FROM (SELECT volguard.start_work($1, 'volume', $2::text,
          '{"status": "extending"}', '{"status": "available"}') AS result) AS once

SELECT (once.result).new_row
FROM (SELECT volguard.finish_work($1,
          '{"status": "available", "size": {"add": [{"column": "size"}, 1]}}') AS result) AS once

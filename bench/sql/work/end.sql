SELECT (once.result).new_row
FROM (SELECT volguard.conditional_update('volumes', pg_catalog.jsonb_build_object('id', $1::uuid),
          '{"status": "available", "size": {"add": [{"column": "size"}, 1]}}', fence => $2) AS result) AS once

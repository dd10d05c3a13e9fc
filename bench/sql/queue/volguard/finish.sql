SELECT (volguard.finish_work($1, '{"status": "available", "size": {"add": [{"column": "size"}, 1]}}')).updated

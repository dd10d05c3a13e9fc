SELECT (volguard.submit_work('bench', 'volume', $1::uuid::text, '{"status": "extending"}', '{"status": "available"}',
    operation => 'extend')).token

UPDATE volumes SET status = 'available', size = size + 1 WHERE id = $1 AND status = 'extending' RETURNING 1::bigint

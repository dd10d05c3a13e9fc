UPDATE volumes SET status = 'extending' WHERE id = $1 AND status = 'available' RETURNING 1::bigint

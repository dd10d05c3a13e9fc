DELETE FROM locks
WHERE resource_id = $1 AND resource_type = 'volume' AND lock_name = '' AND token = $2

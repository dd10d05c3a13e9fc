DELETE FROM locks
WHERE cluster = 'bench' AND resource_type = 'volume' AND resource_id = $1 AND lock_name = '' AND token = $2

DELETE FROM locks USING pg_catalog.set_config('synchronous_commit', 'off', true)
WHERE cluster = 'bench' AND resource_type = 'volume' AND resource_id = $1 AND lock_name = '' AND token = $2

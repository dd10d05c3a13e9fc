UPDATE volguard.services SET fenced_at = clock_timestamp() WHERE cluster = 'bench'

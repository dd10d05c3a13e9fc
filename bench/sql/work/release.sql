SELECT volguard.release($1) AS held

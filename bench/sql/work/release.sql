SELECT volguard.release($1)

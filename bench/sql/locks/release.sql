SELECT volguard.release(token => $1)

DELETE FROM volguard.workers WHERE token = $1

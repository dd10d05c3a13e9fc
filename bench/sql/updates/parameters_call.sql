volguard.conditional_update('volumes', key => $1, changes => $2, expected => $3, filter => $4)

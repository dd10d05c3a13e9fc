volguard.conditional_update('volumes', key => $1, "values" => $2, expected => $3, filter => $4)

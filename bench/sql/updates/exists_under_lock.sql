SELECT changed FROM update_under_lock($1, $2) AS changed WHERE changed IS NOT NULL

SELECT new_row FROM update_under_lock($1, $2) AS new_row WHERE new_row IS NOT NULL

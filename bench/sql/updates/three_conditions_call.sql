SELECT (volguard.conditional_update('volumes', key => $1, changes => $2,
    expected => '{"status": ["available", "error"], "attach_status": {"not": "attached"}, "migration_status": null}')).new_row

SELECT (volguard.conditional_update('volumes', key => $1, changes => $2,
    expected => '{"status": ["available", "error"]}',
    filter => '{"not": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false}}}}')).new_row

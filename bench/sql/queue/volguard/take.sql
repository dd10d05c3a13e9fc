SELECT token, resource_id::uuid FROM volguard.next_work($1, operations => '{extend}', wait => '1 s')

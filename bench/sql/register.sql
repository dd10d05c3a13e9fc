SELECT volguard.register_service(host => $1, binary_name => 'bench', cluster => 'bench', lease => '24 hours')

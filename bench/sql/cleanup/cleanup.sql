CALL volguard.run_cleanup(cluster => 'bench')

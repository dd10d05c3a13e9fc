SELECT service_id FROM volguard.cleanup(cluster => 'bench') WHERE awaiting = 0

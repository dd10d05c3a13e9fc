-- As the Rust client does where releases are relaxed.
SELECT volguard.release(token => $1) FROM pg_catalog.set_config('synchronous_commit', 'off', true)

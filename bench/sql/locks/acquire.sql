-- As the Rust client asks.
SELECT volguard.acquire(service_id => $1, resource_type => $2, resource_id => $3, lock_name => $4,
       status => $5, wait => $6, request_id => $7, details => $8)

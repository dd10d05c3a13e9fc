SELECT volguard.acquire($1, 'volume', $2::text, status => 'extending') AS token

-- release_all: many tokens, one commit.
\set code '\\echo :LAST_ERROR_SQLSTATE'
SELECT volguard.register_service('node-1', 'volume', 'relall') AS one, volguard.register_service('node-2', 'volume', 'relall') AS two,
       volguard.register_service('node-3', 'volume', 'relall') AS fenced \gset
CREATE TEMP TABLE mine AS
SELECT array_agg(volguard.acquire(service_id, 'volume', 'all-' || i)) AS tokens FROM volguard.services, generate_series(1, 3) AS i WHERE service_id = :one;
SELECT volguard.acquire(:two, 'volume', 'all-4', status => 'creating') AS work, volguard.acquire(:two, 'volume', 'all-5') AS kept, volguard.acquire(:fenced, 'volume', 'all-6') AS dead \gset
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :fenced;

-- Tokens that are not held don't count; duplicates count once; several services, with work or without.
SELECT volguard.release_all('{}');
SELECT volguard.release_all('{-1, 0}');
SELECT volguard.release_all(tokens => tokens || ARRAY[-1, :work, :work, :dead]) FROM mine;
SELECT volguard.release_all(tokens || :work::bigint) AS again FROM mine;
SELECT token = :kept AS kept, token = :dead AS of_the_fenced FROM volguard.workers WHERE cluster = 'relall' ORDER BY 1 DESC;

-- No rows at all.
SELECT volguard.release_all(array_agg(token)) FROM volguard.workers WHERE false;

-- NULL as one of several: then nothing is released.
SELECT volguard.release_all(ARRAY[:kept, NULL]); :code
SELECT volguard.release_all('{NULL}'); :code
SELECT count(*) FROM volguard.workers WHERE token = :kept;

-- An array with more than one dimension is read row by row.
SELECT volguard.acquire(:two, 'volume', 'all-7') AS more \gset
BEGIN;
SELECT volguard.release_all(ARRAY[[:kept, -1], [-1, :more]]);
ROLLBACK;

-- All or nothing, with the transaction.
BEGIN;
SELECT volguard.release_all(ARRAY[:kept, :more]);
ROLLBACK;
SELECT count(*) FROM volguard.workers WHERE token IN (:kept, :more);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT volguard.release_all(ARRAY[:kept]);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT volguard.release_all(ARRAY[:kept, :more]);
COMMIT;
SELECT count(*) FROM volguard.workers WHERE token IN (:kept, :more);

-- Many at once.
SELECT count(volguard.acquire(:two, 'volume', 'bulk-' || i)) FROM generate_series(1, 1000) AS i;
SELECT volguard.release_all(array_agg(token)) FROM volguard.workers WHERE cluster = 'relall' AND resource_id LIKE 'bulk-%';
BEGIN;
SELECT volguard.release_all(ARRAY[-1, :dead]);
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
COMMIT;

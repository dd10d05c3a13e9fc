-- What has not ended, and how often volumes were extended.
SELECT (SELECT pg_catalog.count(*) FROM volguard.workers) + (SELECT pg_catalog.count(*) FROM jobs)
           + (SELECT pg_catalog.count(*) FROM shaped_jobs) + (SELECT pg_catalog.count(*) FROM q_work),
       (SELECT pg_catalog.count(*) FROM volumes WHERE status <> 'available'),
       (SELECT pg_catalog.sum(size - 10)::bigint FROM volumes)

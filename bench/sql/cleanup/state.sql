-- What is left, what was repaired, and how often.
SELECT (SELECT count(*) FROM volguard.workers),
       (SELECT count(*) FROM volguard.services WHERE fenced_at IS NULL),
       (SELECT count(*) FROM volumes WHERE status = 'error' AND previous_status = 'creating' AND repairs = 1),
       (SELECT count(*) FROM snapshots WHERE status = 'error_deleting' AND repairs = 1),
       (SELECT coalesce(sum(repairs), 0) FROM volumes) + (SELECT coalesce(sum(repairs), 0) FROM snapshots)

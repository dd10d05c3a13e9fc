-- The least that does the same: nobody is kept from acquiring meanwhile, nobody is woken, a failing row stops everything.
BEGIN;
UPDATE volguard.services SET fenced_at = clock_timestamp()
WHERE cluster = 'bench' AND fenced_at IS NULL AND heartbeat_at + lease <= clock_timestamp();
DELETE FROM volguard.workers AS w USING volguard.services AS s
WHERE s.service_id = w.service_id AND s.cluster = 'bench' AND s.fenced_at IS NOT NULL AND w.status IS NULL;
UPDATE volumes AS v SET status = 'error', previous_status = v.status, repairs = repairs + 1
FROM volguard.workers AS w JOIN volguard.services AS s USING (service_id)
WHERE s.cluster = 'bench' AND s.fenced_at IS NOT NULL AND w.resource_type = 'volume' AND w.status = 'creating'
  AND v.id = w.resource_id::uuid AND v.status = w.status;
UPDATE snapshots AS v SET status = 'error_deleting', repairs = repairs + 1
FROM volguard.workers AS w JOIN volguard.services AS s USING (service_id)
WHERE s.cluster = 'bench' AND s.fenced_at IS NOT NULL AND w.resource_type = 'snapshot' AND w.status = 'deleting'
  AND v.id = w.resource_id::uuid AND v.status = w.status;
DELETE FROM volguard.workers AS w USING volguard.services AS s
WHERE s.service_id = w.service_id AND s.cluster = 'bench' AND s.fenced_at IS NOT NULL AND w.status IS NOT NULL;
COMMIT;

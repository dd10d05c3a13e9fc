UPDATE snapshots AS v SET status = 'error_deleting', repairs = repairs + 1
FROM volguard.workers AS w
WHERE w.service_id = ANY ($1) AND w.resource_type = 'snapshot' AND w.status = 'deleting'
  AND v.id = w.resource_id::uuid AND v.status = w.status

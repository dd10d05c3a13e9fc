UPDATE volumes AS v SET status = 'error', previous_status = v.status, repairs = repairs + 1
FROM volguard.workers AS w
WHERE w.service_id = ANY ($1) AND w.resource_type = 'volume' AND w.status = 'creating'
  AND v.id = w.resource_id::uuid AND v.status = w.status

UPDATE snapshots SET status = 'error_deleting', repairs = repairs + 1
WHERE id = $1 AND status = 'deleting'

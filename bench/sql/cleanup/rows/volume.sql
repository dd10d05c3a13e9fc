UPDATE volumes SET status = 'error', previous_status = status, repairs = repairs + 1
WHERE id = $1 AND status = 'creating'

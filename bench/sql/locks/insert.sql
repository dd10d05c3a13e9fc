INSERT INTO locks (cluster, resource_type, resource_id, lock_name, service_id)
VALUES ('bench', 'volume', $1, '', $2)
ON CONFLICT DO NOTHING
RETURNING token

CREATE FUNCTION volguard.submit_work(cluster text, resource_type text, resource_id text, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                     operation text DEFAULT NULL, host text DEFAULT NULL, details jsonb DEFAULT NULL, lock_name text DEFAULT '',
                                     request_id uuid DEFAULT NULL, priority integer DEFAULT 0, not_before timestamptz DEFAULT NULL,
                                     target regclass DEFAULT NULL, filter_sql text DEFAULT NULL, changes_sql jsonb DEFAULT NULL)
RETURNS volguard.work_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_submit_work';
COMMENT ON FUNCTION volguard.submit_work IS 'Updates the row of a tracked resource if all conditions hold, and queues work on it for the services of a cluster, both or neither. The token is the number of the work.';

CREATE FUNCTION volguard.next_work(service_id bigint, max_rows integer DEFAULT 1, resource_type text DEFAULT NULL, operations text[] DEFAULT NULL,
                                   wait interval DEFAULT '0', request_id uuid DEFAULT NULL)
RETURNS TABLE (token bigint, work_id bigint, resource_type text, resource_id text, lock_name text, status text, operation text, attempt integer,
               crashed_service_id bigint, details jsonb)
VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 10 LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_next_work';
COMMENT ON FUNCTION volguard.next_work IS 'Hands work that was submitted to the cluster of a service to that service, with new tokens. Waits 30 s at most. By its request id, release_requests puts back what a call got.';

CREATE FUNCTION volguard.cancel_work(work_id bigint, changes jsonb DEFAULT NULL, target regclass DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_cancel_work';
COMMENT ON FUNCTION volguard.cancel_work IS 'Takes submitted work out of the queue while it waits, and updates the row of its resource, both or neither. Outcome fenced: it does not wait.';

CREATE FUNCTION volguard.pass_work(token bigint, operation text, cluster text DEFAULT NULL, host text DEFAULT NULL, changes jsonb DEFAULT '{}',
                                   details jsonb DEFAULT NULL, target regclass DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_pass_work';
COMMENT ON FUNCTION volguard.pass_work IS 'Puts work that the service has back into a queue, for the next step elsewhere, and updates the row of its resource. The lock stays taken. Outcome fenced: the token is not held.';

CREATE FUNCTION volguard.grant_submit(cluster text, role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_grant_submit';
COMMENT ON FUNCTION volguard.grant_submit IS 'Lets a role submit work to a cluster, beside the cluster''s owner.';

CREATE FUNCTION volguard.revoke_submit(cluster text, role name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_revoke_submit';
COMMENT ON FUNCTION volguard.revoke_submit IS 'Takes back what grant_submit granted.';

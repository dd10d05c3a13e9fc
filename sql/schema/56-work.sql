CREATE TYPE volguard.work_result AS (token bigint, outcome text, new_row jsonb, unmet text[]);
COMMENT ON TYPE volguard.work_result IS
    'outcome: updated, unmet, not_found or locked. token, row: of the lock and the whole new row, if updated. unmet: all conditions that failed.';

CREATE FUNCTION volguard.start_work(service_id bigint, resource_type text, resource_id text, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                    lock_name text DEFAULT '', wait interval DEFAULT '0', request_id uuid DEFAULT NULL)
RETURNS volguard.work_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_start_work';
COMMENT ON FUNCTION volguard.start_work IS 'Takes a lock and updates the tracked resource''s row if all conditions hold, both or neither; the lock''s status is the row''s.';

CREATE FUNCTION volguard.finish_work(token bigint, changes jsonb)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_finish_work';
COMMENT ON FUNCTION volguard.finish_work IS 'Updates the row of the resource that a token locks and releases the lock, both or neither. As the caller, with the caller''s privileges.';

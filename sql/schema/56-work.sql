CREATE TYPE volguard.work_result AS (token bigint, outcome text, new_row jsonb, unmet text[]);
COMMENT ON TYPE volguard.work_result IS
    'outcome: updated, unmet, not_found or locked. token: of the lock, new_row: the whole row as updated. unmet: all conditions that failed.';

CREATE FUNCTION volguard.start_work(service_id bigint, resource_type text, resource_id text, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                    lock_name text DEFAULT '', wait interval DEFAULT '0', request_id uuid DEFAULT NULL, target regclass DEFAULT NULL,
                                    filter_sql text DEFAULT NULL, changes_sql jsonb DEFAULT NULL)
RETURNS volguard.work_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_start_work';
COMMENT ON FUNCTION volguard.start_work IS 'Takes a lock and updates the row of a tracked resource if all conditions hold, both or neither. The lock gets the status of the row.';

CREATE FUNCTION volguard.finish_work(token bigint, changes jsonb, target regclass DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_finish_work';
COMMENT ON FUNCTION volguard.finish_work IS 'Updates the row of the resource that a token locks and releases the lock, both or neither. Runs with the caller''s privileges.';

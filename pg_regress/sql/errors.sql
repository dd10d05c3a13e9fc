-- Every refusal of the verbs in one place: SQLSTATE, message, hint. Numbers that differ between runs are masked as N.
-- Roles outlive their database: an interrupted run may have left some.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_errors_stranger;
RESET client_min_messages;
CREATE FUNCTION pg_temp.refusal(statement text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
DECLARE
    more text;
BEGIN
    EXECUTE statement;
    message := 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, more = PG_EXCEPTION_DETAIL;
    message := regexp_replace(message || coalesce(nullif(': ' || more, ': '), ''), '(service|token|locks;) \d+', '\1 N');
END
$$;
CREATE ROLE regress_errors_stranger;
SELECT volguard.grant_operator('regress_errors_stranger');
CREATE TABLE errors_volumes (id text, status text);
SELECT volguard.track_resource('errors', 'errors_volumes');
SELECT volguard.register_service('node-1', 'volume', 'errors') AS alive, volguard.register_service('node-2', 'volume', 'errors') AS late, volguard.register_service('node-3', 'volume', 'errors') AS fenced \gset
SELECT volguard.acquire(:alive, 'errors', 'e-1', 'work', 'creating') AS work, volguard.acquire(:alive, 'errors', 'e-1') AS plain, volguard.acquire(:fenced, 'errors', 'e-2') AS dead \gset
SELECT volguard.acquire(:alive, 'errors', 'e-4', request_id => '00000000-0000-0000-0000-000000000001') AS requested \gset
UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = :late;
UPDATE volguard.services SET fenced_at = now() WHERE service_id = :fenced;
\x on
\t on

\set ask 'SELECT * FROM pg_temp.refusal'
:ask(format('SELECT volguard.heartbeat(%s)', :fenced));
:ask(format('SELECT volguard.acquire(%s, ''errors'', ''e-3'')', :late));
:ask(format('SELECT * FROM volguard.cleanup(service_id => %s)', :alive));
:ask(format('SELECT volguard.assert_held(%s)', :dead));
:ask(format('SELECT volguard.set_status(%s, ''deleting'')', :dead));
:ask(format('SELECT volguard.set_status(%s, ''deleting'')', :plain));
:ask('SELECT volguard.heartbeat(NULL)');
:ask(format('SELECT volguard.acquire(%s, '''', ''e-3'')', :alive));
:ask(format('SELECT volguard.acquire(%s, ''errors'', ''e-3'', wait => ''-1 s'')', :alive));
:ask(format('SELECT * FROM volguard.acquire_all(%s, ''[]'')', :alive));
:ask(format('SELECT * FROM volguard.acquire_all(%s, ''[{"resource_type": "errors"}]'')', :alive));
:ask(format('SELECT * FROM volguard.acquire_all(%s, (SELECT jsonb_agg(''{}''::jsonb) FROM generate_series(1, 100000)))', :alive));
:ask(format('SELECT * FROM volguard.acquire_all(%s, ''[{"resource_type": "errors", "resource_id": "e-2"}, {"resource_type": "errors", "resource_id": "e-4"}]'', request_id => ''00000000-0000-0000-0000-000000000001'')', :alive));
:ask('SELECT volguard.on_crash(''errors-not-tracked'', ''creating'', NULL)');
:ask('SELECT volguard.track_resource(''errors'', ''errors_volumes'', ''uuid'')');
SET lock_timeout = '10 ms';
:ask(format('SELECT volguard.acquire(%s, ''errors'', ''e-1'', wait => ''1 min'')', :alive));
RESET lock_timeout;
BEGIN ISOLATION LEVEL REPEATABLE READ;
:ask(format('SELECT volguard.acquire(%s, ''errors'', ''e-3'', wait => ''1 min'')', :alive));
ROLLBACK;
-- The messages that a stranger gets, though it is an operator.
SET ROLE regress_errors_stranger;
:ask(format('SELECT volguard.heartbeat(%s)', :alive));
:ask(format('SELECT volguard.release(%s)', :plain));
:ask(format('SELECT volguard.release_all(ARRAY[%s])', :plain));
:ask(format('SELECT volguard.assert_held(%s)', :plain));
:ask('SELECT volguard.register_service(''node-1'', ''volume'', ''errors'')');
:ask('SELECT volguard.track_resource(''errors-2'', ''errors_volumes'')');
:ask('SELECT volguard.on_crash(''errors'', ''creating'', NULL)');
:ask('SELECT volguard.untrack_resource(''errors'')');
:ask(format('SELECT volguard.start_work(%s, ''errors'', ''e-5'', ''{"status": "creating"}'')', volguard.register_service('node-4', 'volume', 'errors of a stranger')));
:ask(format('SELECT volguard.acquire(%s, ''errors'', ''e-5'', status => ''creating'')', volguard.register_service('node-4', 'volume', 'errors of a stranger')));
:ask('SELECT volguard.grant_usage(''regress_errors_stranger'')');
RESET ROLE;
-- A superuser, where the table belongs to another role.
ALTER TABLE errors_volumes OWNER TO regress_errors_stranger;
:ask(format('SELECT volguard.start_work(%s, ''errors'', ''e-5'', ''{"status": "creating"}'')', :alive));
:ask(format('SELECT volguard.finish_work(%s, ''{"status": "creating"}'')', :plain));
\t off
\x off
DELETE FROM volguard.resources WHERE resource_type = 'errors';
DROP TABLE errors_volumes;
DROP OWNED BY regress_errors_stranger;
DROP ROLE regress_errors_stranger;
-- An error that a savepoint has caught leaves no memory behind in the transaction.
DO $$
DECLARE
    memory text := 'SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = ''TopTransactionContext''';
    before bigint;
    after bigint;
BEGIN
    EXECUTE memory INTO before;
    FOR n IN 1..2000 LOOP
        BEGIN
            PERFORM volguard.heartbeat(NULL);
        EXCEPTION WHEN invalid_parameter_value OR null_value_not_allowed THEN
        END;
    END LOOP;
    EXECUTE memory INTO after;
    IF after - before > 100000 THEN
        RAISE 'it grew by % bytes', after - before;
    END IF;
END
$$;

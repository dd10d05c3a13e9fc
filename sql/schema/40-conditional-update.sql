CREATE TYPE volguard.update_result AS (outcome text, updated bigint, new_row jsonb, unmet text[]);
COMMENT ON TYPE volguard.update_result IS
    'outcome: updated, unmet, not_found or fenced. new_row: the whole row as updated. unmet: all conditions that failed.';

CREATE FUNCTION volguard.conditional_update(target regclass, key jsonb, changes jsonb, expected jsonb DEFAULT '{}', filter jsonb DEFAULT NULL,
                                            fence bigint DEFAULT NULL, filter_sql text DEFAULT NULL, changes_sql jsonb DEFAULT NULL)
RETURNS volguard.update_result VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_conditional_update';
COMMENT ON FUNCTION volguard.conditional_update IS 'Updates the row of a key if all conditions hold, otherwise returns those that failed. Runs with the caller''s privileges.';

-- Not STRICT, so that NULL is a value. Without a SET clause, so that the planner can inline the functions and use an
-- index on value. An inlined body is read under the search_path of the session that runs the query, also where a view
-- or a policy calls the function. So every name and operator carries its schema. A type whose own = is in another
-- schema is compared as the type of pg_catalog to which it is cast (citext as text), or not at all.
CREATE FUNCTION volguard.any_of(value anyelement, VARIADIC list anyarray)
RETURNS boolean IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT LANGUAGE sql AS $$
    SELECT (value IS DISTINCT FROM NULL AND value OPERATOR(pg_catalog.=) ANY (pg_catalog.array_remove(coalesce(list, '{}'), NULL)))
        OR (value IS NOT DISTINCT FROM NULL AND pg_catalog.array_position(list, NULL) IS NOT NULL)
$$;
COMMENT ON FUNCTION volguard.any_of IS 'NULL-safe IN: NULL is a value like any other. Never NULL.';

CREATE FUNCTION volguard.none_of(value anyelement, VARIADIC list anyarray)
RETURNS boolean IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT LANGUAGE sql AS $$
    SELECT NOT (
           (value IS DISTINCT FROM NULL AND value OPERATOR(pg_catalog.=) ANY (pg_catalog.array_remove(coalesce(list, '{}'), NULL)))
        OR (value IS NOT DISTINCT FROM NULL AND pg_catalog.array_position(list, NULL) IS NOT NULL))
$$;
COMMENT ON FUNCTION volguard.none_of IS 'NULL-safe NOT IN: NULL is a value like any other. Never NULL.';

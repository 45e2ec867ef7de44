CREATE OR REPLACE FUNCTION radretrieval.filter_rows(conditions text) RETURNS double precision
LANGUAGE plpgsql VOLATILE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM image i WHERE %s', conditions) INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::float8;
END
$$;

COMMENT ON FUNCTION radretrieval.filter_rows(text) IS
    'How many images pass these conditions, as PostgreSQL''s planner estimates it, for cnnc_nearest. (Volatile, for in no '
    'other function may one EXPLAIN.)';

-- The right to put SQL of one's own into a filter is the right to execute this function.
CREATE OR REPLACE FUNCTION radretrieval.filter_sql(condition text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT '(' || condition || ')' $$;

COMMENT ON FUNCTION radretrieval.filter_sql(text) IS
    'Who may execute this function may put a condition of their own, on image i, under "sql" into a filter: '
    'GRANT EXECUTE ON FUNCTION radretrieval.filter_sql(text) TO role. The condition runs with the rights of who asks.';

REVOKE ALL ON FUNCTION radretrieval.filter_sql(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION radretrieval.filter_literal(place text, kind text, value text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE kind
        WHEN 'timestamptz' THEN RETURN format('%L::timestamptz', value::timestamptz);
        WHEN 'date' THEN RETURN format('%L::date', value::date);
        WHEN 'integer' THEN RETURN value::integer::text;
        WHEN 'number' THEN RETURN format('%L::float8', value::float8);
        WHEN 'boolean' THEN RETURN value::boolean::text;
        ELSE RETURN format('%L', value);
    END CASE;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || substr(place, 3) || ' cannot be '
        || quote_literal(value) || '; it is '
        || CASE kind WHEN 'timestamptz' THEN 'a day, as 2026-01-31' WHEN 'date' THEN 'a day, as 2026-01-31'
                     WHEN 'integer' THEN 'a whole number' WHEN 'number' THEN 'a number' ELSE 'true or false' END;
END
$$;

COMMENT ON FUNCTION radretrieval.filter_literal(text, text, text) IS 'A value of a filter as SQL, checked, for cnnc_nearest.';

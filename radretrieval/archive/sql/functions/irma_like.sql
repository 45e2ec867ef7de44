CREATE OR REPLACE FUNCTION radretrieval.irma_like(pattern text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    lengths CONSTANT integer[] := ARRAY[4, 3, 3, 3];
    axes CONSTANT text[] := string_to_array(lower(btrim(pattern)) COLLATE "C", '-');
    found text[] := '{}';
    axis text;
BEGIN
    IF strpos(pattern, '*') = 0 THEN
        RETURN radretrieval.irma_normalise(pattern);
    END IF;
    FOR n IN 1 .. 4 LOOP
        axis := coalesce(axes[n], '*');
        IF axis !~ '^[0-9a-z]*[*]?$' OR cardinality(axes) > 4 OR length(rtrim(axis, '*')) > lengths[n]
           OR (strpos(axis, '*') = 0 AND length(axis) < lengths[n]) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = quote_literal(pattern)
                || ' is no pattern of IRMA codes; each axis of TTTT-DDD-AAA-BBB is whole or a beginning and *, axes at the end may '
                || 'be left out, as in 1121-*, 1121-120-9* or *-*-5*';
        END IF;
        found := found || rpad(rtrim(axis, '*'), lengths[n], '_');
    END LOOP;
    RETURN array_to_string(found, '-');
END
$$;

COMMENT ON FUNCTION radretrieval.irma_like(text) IS
    'The pattern for LIKE of an IRMA code with * after the beginning of an axis: 1121-* gives 1121-___-___-___. '
    'A code without * is given in its written form.';

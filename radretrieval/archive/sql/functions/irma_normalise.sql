-- Equal to radretrieval.irma.code.normalise.
CREATE OR REPLACE FUNCTION radretrieval.irma_normalise(code text, wildcard boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts CONSTANT text[] := regexp_match(lower(btrim(code, E' \t\n\r\f\x0b') COLLATE "C"),
        '^([0-9a-z*]{4})-?([0-9a-z*]{3})-?([0-9a-z*]{3})-?([0-9a-z*]{3})$');
BEGIN
    IF parts IS NULL OR (NOT wildcard AND strpos(code, '*') > 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = quote_literal(code)
            || ' is not an IRMA code; the form is TTTT-DDD-AAA-BBB, 13 characters '
            || CASE WHEN wildcard THEN '0-9, a-z or *' ELSE '0-9 or a-z; * stands in predictions only' END
            || ', for example 1121-120-942-700 (the dashes may be left out)';
    END IF;
    RETURN array_to_string(parts, '-');
END
$$;

COMMENT ON FUNCTION radretrieval.irma_normalise(text, boolean) IS
    'An IRMA code in its one written form, TTTT-DDD-AAA-BBB in lower case; with wildcard => true it may hold *. '
    'Raises an error that gives the legal form for anything else; NULL for no code.';

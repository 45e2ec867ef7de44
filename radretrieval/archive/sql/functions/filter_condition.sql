-- One condition of a filter, as SQL; `place` is a quoted column of facet f (no value is '') or of image i (no value is NULL).
CREATE OR REPLACE FUNCTION radretrieval.filter_condition(place text, kind text, value jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    parts text[];
    given text;
    bound text;
BEGIN
    IF jsonb_typeof(value) = 'array' THEN
        SELECT array_agg(filter_condition(place, kind, v)) INTO parts FROM jsonb_array_elements(value) v;
        RETURN coalesce('(' || array_to_string(parts, ' OR ') || ')', 'false');
    ELSIF jsonb_typeof(value) = 'object' THEN
        FOR given, bound IN SELECT * FROM jsonb_each_text(value) LOOP
            IF given = 'not' THEN
                parts := parts || format('NOT coalesce(%s, false)', filter_condition(place, kind, value -> 'not'));
            ELSIF given IN ('from', 'before') AND kind NOT IN ('text', 'irma', 'boolean') AND bound IS NOT NULL THEN
                parts := parts || format('%s %s %s', place, CASE given WHEN 'from' THEN '>=' ELSE '<' END,
                                         filter_literal(place, kind, bound));
            ELSE
                RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || substr(place, 3)
                    || ' does not know ' || quote_literal(given) || '; it takes a value, a list of values, {"not"} a value'
                    || CASE WHEN kind IN ('text', 'irma', 'boolean') THEN '' ELSE ', or a range {"from", "before"}' END;
            END IF;
        END LOOP;
        RETURN coalesce('(' || array_to_string(parts, ' AND ') || ')', 'true');
    END IF;
    given := value #>> '{}';
    IF coalesce(given, '') = '' THEN
        RETURN format(CASE WHEN kind NOT IN ('text', 'irma') THEN '%s IS NULL'
                           WHEN starts_with(place, 'f.') THEN '%s = '''''
                           ELSE '(%1$s IS NULL OR %1$s = '''')' END, place);  -- facets know no difference
    ELSIF kind = 'irma' AND strpos(given, '*') > 0 THEN
        RETURN format('%s LIKE %L', place, irma_like(given));
    ELSIF kind = 'irma' AND translate(lower(btrim(given)) COLLATE "C", '-', '') !~ '^[0-9a-z]{13}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = quote_literal(given)
            || ' is not an IRMA code; the form is TTTT-DDD-AAA-BBB, for example 1121-120-942-700 (the dashes may be left out), or '
            || 'a pattern of codes, in which * stands after the beginning of an axis and axes at the end may be left out, as in '
            || '1121-*, 1121-120-9* or *-*-5*';
    ELSIF kind = 'timestamptz' THEN  -- a day, from its beginning to its end
        RETURN format('(%1$s >= %2$s AND %1$s < %2$s + interval ''1 day'')', place, filter_literal(place, kind, given));
    END IF;
    RETURN format('%s = %s', place,
                  filter_literal(place, kind, CASE kind WHEN 'irma' THEN irma_normalise(given) ELSE given END));
END
$$;

COMMENT ON FUNCTION radretrieval.filter_condition(text, text, jsonb) IS 'One condition of a filter as SQL, for cnnc_nearest.';

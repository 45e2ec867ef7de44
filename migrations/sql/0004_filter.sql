-- What 0006 replaces. No per cent sign and no colon before a word stands here.

CREATE OR REPLACE FUNCTION radretrieval.filter_literal(place text, kind text, value text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE kind
        WHEN 'timestamptz' THEN RETURN quote_literal(value::timestamptz) || '::timestamptz';
        WHEN 'integer' THEN RETURN value::integer::text;
        WHEN 'boolean' THEN RETURN value::boolean::text;
        ELSE RETURN quote_literal(value);
    END CASE;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || substr(place, 3) || ' cannot be '
        || quote_literal(value) || '; it is '
        || CASE kind WHEN 'timestamptz' THEN 'a day, as 2026-01-31' WHEN 'integer' THEN 'a whole number' ELSE 'true or false' END;
END
$$;

COMMENT ON FUNCTION radretrieval.filter_literal(text, text, text) IS 'A value of a filter as SQL, checked, for cnnc_nearest.';

-- What a filter may name. Columns of few values are looked up in facet, the others in image.
CREATE OR REPLACE FUNCTION radretrieval.filter_columns() RETURNS TABLE (name text, kind text, facet boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    VALUES ('modality', 'text', true), ('body_part', 'text', true), ('view_position', 'text', true), ('laterality', 'text', true),
           ('irma_code', 'irma', true), ('split', 'text', true), ('format', 'text', true), ('photometric', 'text', true),
           ('withdrawn', 'boolean', true), ('patient_key', 'text', false), ('study_instance_uid', 'text', false),
           ('series_instance_uid', 'text', false), ('sop_instance_uid', 'text', false), ('ingested_at', 'timestamptz', false),
           ('rows', 'integer', false), ('columns', 'integer', false), ('bits_stored', 'integer', false)
$$;

COMMENT ON FUNCTION radretrieval.filter_columns() IS 'The columns of image that a filter of cnnc_nearest may name.';

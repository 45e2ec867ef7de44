-- Filters know the columns that came with DICOM. No per cent sign and no colon before a word stands here.

CREATE OR REPLACE FUNCTION radretrieval.filter_columns() RETURNS TABLE (name text, kind text, facet boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    VALUES ('modality', 'text', true), ('body_part', 'text', true), ('view_position', 'text', true), ('laterality', 'text', true),
           ('irma_code', 'irma', true), ('split', 'text', true), ('format', 'text', true), ('photometric', 'text', true),
           ('withdrawn', 'boolean', true), ('patient_key', 'text', false), ('study_instance_uid', 'text', false),
           ('series_instance_uid', 'text', false), ('sop_instance_uid', 'text', false), ('ingested_at', 'timestamptz', false),
           ('rows', 'integer', false), ('columns', 'integer', false), ('bits_stored', 'integer', false),
           ('study_date', 'date', false), ('manufacturer', 'text', false), ('origin', 'text', false),
           ('sop_class_uid', 'text', false), ('frame', 'integer', false), ('row_spacing', 'number', false),
           ('column_spacing', 'number', false), ('kvp', 'number', false), ('exposure', 'number', false),
           ('gone_at', 'timestamptz', false), ('same_uid', 'boolean', false)
$$;

CREATE OR REPLACE FUNCTION radretrieval.filter_literal(place text, kind text, value text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE kind
        WHEN 'timestamptz' THEN RETURN quote_literal(value::timestamptz) || '::timestamptz';
        WHEN 'date' THEN RETURN quote_literal(value::date) || '::date';
        WHEN 'integer' THEN RETURN value::integer::text;
        WHEN 'number' THEN RETURN quote_literal(value::float8) || '::float8';
        WHEN 'boolean' THEN RETURN value::boolean::text;
        ELSE RETURN quote_literal(value);
    END CASE;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || substr(place, 3) || ' cannot be '
        || quote_literal(value) || '; it is '
        || CASE kind WHEN 'timestamptz' THEN 'a day, as 2026-01-31' WHEN 'date' THEN 'a day, as 2026-01-31'
                     WHEN 'integer' THEN 'a whole number' WHEN 'number' THEN 'a number' ELSE 'true or false' END;
END
$$;

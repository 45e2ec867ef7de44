-- What a filter may name. Columns of few values (facet) are looked up in facet, the others in image.
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
           ('gone_at', 'timestamptz', false), ('hidden_at', 'timestamptz', false), ('same_uid', 'boolean', false), ('flat', 'boolean', false)
$$;

COMMENT ON FUNCTION radretrieval.filter_columns() IS 'The columns of image that a filter of cnnc_nearest may name.';

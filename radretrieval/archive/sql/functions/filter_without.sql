CREATE OR REPLACE FUNCTION radretrieval.filter_without(filter jsonb, image bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- what is no object stays as it is, for filter_read to refuse it
    SELECT CASE WHEN jsonb_typeof(filter) <> 'object' THEN filter
                ELSE coalesce(filter, '{}') || jsonb_build_object('not_image',
                         coalesce(nullif(filter -> 'not_image', 'null'), '[]') || to_jsonb(image)) END
$$;

COMMENT ON FUNCTION radretrieval.filter_without(jsonb, bigint) IS
    'A filter of cnnc_nearest that leaves one more image out.';

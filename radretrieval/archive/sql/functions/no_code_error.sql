-- For functions that take an image: those who ask for one cannot know that it has no code.
CREATE OR REPLACE FUNCTION radretrieval.no_code_error(image bigint, encoder integer) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = why_no_code(image, encoder),
        ERRCODE = CASE WHEN EXISTS (SELECT FROM image i WHERE i.id = no_code_error.image) THEN 'no_data_found'
                       ELSE 'invalid_parameter_value' END,
        HINT = 'why_no_code(image) says it of any image: radretrieval.image has all, those with hidden_at are withdrawn.';
END
$$;

COMMENT ON FUNCTION radretrieval.no_code_error(bigint, integer) IS
    'An error that says why an image has no code, or no barcode; for code_of and barcode_of.';

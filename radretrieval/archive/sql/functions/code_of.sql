CREATE OR REPLACE FUNCTION radretrieval.code_of(image bigint, encoder integer DEFAULT NULL) RETURNS bit
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    answer bit(1000);
BEGIN
    SELECT c.code INTO answer FROM cnnc c JOIN image i ON i.id = c.image_id  -- joined for the policies of row-level security
    WHERE c.encoder_id = number AND c.image_id = image;
    IF answer IS NULL THEN
        PERFORM no_code_error(image, number);
    END IF;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION radretrieval.code_of(bigint, integer) IS
    'The CNN code of an image, 1000 bits, by an encoder (NULL: the active one). An error that says why where it has none.';

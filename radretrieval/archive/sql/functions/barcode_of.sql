CREATE OR REPLACE FUNCTION radretrieval.barcode_of(image bigint, encoder integer DEFAULT NULL) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    answer bytea;
BEGIN
    SELECT b.code INTO answer FROM barcode b JOIN image i ON i.id = b.image_id  -- joined for the policies of row-level security
    WHERE b.geometry_id = encoder_geometry(number) AND b.image_id = image AND i.hidden_at IS NULL;
    IF answer IS NULL THEN
        PERFORM no_code_error(image, number);
    END IF;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION radretrieval.barcode_of(bigint, integer) IS
    'The Radon barcode of an image, packed, by the geometry of an encoder (NULL: the active one). An error that says why '
    'where it has none.';

CREATE OR REPLACE FUNCTION radretrieval.image_distance(image bigint, other bigint, encoder integer DEFAULT NULL)
RETURNS TABLE (cnnc_distance integer, rbc_distance integer, irma_error real)
LANGUAGE sql STABLE ROWS 1 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT (code_of(image_distance.image, encoder) <~> code_of(image_distance.other, encoder))::int,
           rbc_distance(barcode_of(image_distance.image, encoder), barcode_of(image_distance.other, encoder)),
           irma_error((SELECT i.irma_code FROM image i WHERE i.id = image_distance.image),
                      (SELECT o.irma_code FROM image o WHERE o.id = image_distance.other))
$$;

COMMENT ON FUNCTION radretrieval.image_distance(bigint, bigint, integer) IS
    'How unlike two images are: bits of their CNN codes (0 to 1000) and of their barcodes that differ, by one encoder '
    '(NULL: the active one), and the IRMA error (0 to 1) of the second one''s class as an answer for the first; NULL where '
    'one has no class. An image that is unknown or not coded is an error that says what to do.';

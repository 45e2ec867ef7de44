CREATE OR REPLACE FUNCTION radretrieval.similar(image bigint, k integer DEFAULT 10, encoder integer DEFAULT NULL,
                                     filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, distance integer, path text, irma_code text, uri text)
LANGUAGE sql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT s.rank, s.image_id, s.distance, s.path, s.irma_code, s.uri
    FROM similar_to(code_of(image, encoder), k, encoder, filter_without(filter, image)) s
    ORDER BY s.rank
$$;

COMMENT ON FUNCTION radretrieval.similar(bigint, integer, integer, jsonb) IS
    'The k images (1 to 1000000) most like one of the archive by CNN code, never itself, exactly: rank from 1, distance in '
    'bits (0 to 1000), the way that cnnc_nearest took, IRMA code and URI. Ties are cut by image id. encoder: NULL for the '
    'active one; filter: as of cnnc_nearest. An image that is unknown or has no code is an error that says what to do.';

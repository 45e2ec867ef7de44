CREATE OR REPLACE FUNCTION radretrieval.similar_to(code bit, k integer DEFAULT 10, encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, distance integer, path text, irma_code text, uri text)
LANGUAGE sql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
    WITH n AS MATERIALIZED (
        SELECT c.image_id, c.distance, c.path
        FROM cnnc_nearest(similar_to.code, similar_to.k, similar_to.encoder, similar_to.filter) c
        ORDER BY c.distance, c.image_id LIMIT greatest(similar_to.k, 1))
    SELECT row_number() OVER (ORDER BY n.distance, n.image_id)::int, n.image_id, n.distance, n.path, i.irma_code, m.uri
    FROM n JOIN image i ON i.id = n.image_id
    JOIN image_readable(ARRAY(SELECT o.image_id FROM n o)) m ON m.image_id = n.image_id
    ORDER BY n.distance, n.image_id
$$;

COMMENT ON FUNCTION radretrieval.similar_to(bit, integer, integer, jsonb) IS
    'The k images (1 to 1000000) whose CNN codes are nearest to a code of 1000 bits, exactly: rank from 1, distance in bits'
    ' (0 to 1000), the way that cnnc_nearest took, IRMA code and URI. Ties are cut by image id. encoder: NULL for the '
    'active one; filter: as of cnnc_nearest.';

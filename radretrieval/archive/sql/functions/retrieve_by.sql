CREATE OR REPLACE FUNCTION radretrieval.retrieve_by(code bit, barcode bytea, top integer DEFAULT 10, candidates integer DEFAULT 50,
                                         encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, cnnc_distance integer, rbc_distance integer, irma_code text, uri text)
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    geometry CONSTANT smallint := encoder_geometry(number);
BEGIN
    IF top IS NULL OR candidates IS NULL OR top < 1 OR candidates < top THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'top is ' || coalesce(top::text, 'NULL')
            || ' and candidates ' || coalesce(candidates::text, 'NULL')
            || '; hits are candidates, so that 1 <= top <= candidates';
    ELSIF code IS NULL OR barcode IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a query needs its CNN code and its barcode; code_of() and barcode_of() give those of an image';
    END IF;
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY r.rbc, r.distance, r.image_id)::int, r.image_id, r.distance, r.rbc, i.irma_code, i.uri
        FROM (SELECT n.image_id, n.distance, rbc_distance(retrieve_by.barcode, b.code) AS rbc
              FROM cnnc_nearest(retrieve_by.code, candidates, number, filter) n
              JOIN barcode b ON b.geometry_id = geometry AND b.image_id = n.image_id
              ORDER BY rbc, n.distance, n.image_id LIMIT top) r
        JOIN image i ON i.id = r.image_id
        ORDER BY r.rbc, r.distance, r.image_id;
END
$$;

COMMENT ON FUNCTION radretrieval.retrieve_by(bit, bytea, integer, integer, integer, jsonb) IS
    'The two-stage query: the nearest CNN codes to `code` (candidates, and those that tie with the last of them), put into '
    'the order of their barcodes'' distance to `barcode`; the first `top` of them, 1 to candidates. Order: rbc_distance, '
    'cnnc_distance, image_id. Candidates without barcode of the encoder''s geometry are left out. encoder: NULL for the '
    'active one; filter: as of cnnc_nearest. Source: Liu, Tizhoosh and Kofman (2016), section 3.3.';

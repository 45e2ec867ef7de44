DROP FUNCTION IF EXISTS radretrieval.retrieve_by(bit, bytea, integer, integer, integer, jsonb);
CREATE OR REPLACE FUNCTION radretrieval.retrieve_by(code bit, barcode bytea, top integer DEFAULT 10, candidates integer DEFAULT 50,
                                         encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, cnnc_distance integer, rbc_distance integer, irma_code text, uri text,
               patient_key text, study_instance_uid text, study_date date, modality text, body_part text,
               view_position text, laterality text)
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    geometry CONSTANT smallint := encoder_geometry(number);
    weights record;
BEGIN
    IF top IS NULL OR candidates IS NULL OR top < 1 OR candidates < top THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'top is ' || coalesce(top::text, 'NULL')
            || ' and candidates ' || coalesce(candidates::text, 'NULL')
            || '; hits are candidates, so that 1 <= top <= candidates';
    ELSIF code IS NULL OR barcode IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a query needs its CNN code and its barcode; code_of() and barcode_of() give those of an image';
    END IF;
    -- as radretrieval.coding.rerank.Weights has them: whole numbers, so that both agree on every tie
    SELECT p.percent * g.angles * g.bins AS cnnc, (100 - p.percent) * p.code_bits AS rbc INTO weights
    FROM encoder e CROSS JOIN LATERAL (
        SELECT coalesce((e.profile #>> '{query,cnnc_percent}')::bigint, 0) AS percent,
               (e.profile #>> '{network,code_bits}')::bigint AS code_bits) p
    CROSS JOIN geometry g
    WHERE e.id = number AND g.id = geometry;
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY r.key, r.rbc, r.distance, r.image_id)::int, r.image_id, r.distance, r.rbc, i.irma_code,
               i.uri, i.patient_key, i.study_instance_uid, i.study_date, i.modality, i.body_part, i.view_position, i.laterality
        FROM (SELECT f.*, weights.cnnc * f.distance + weights.rbc * f.rbc AS key
              FROM (SELECT n.image_id, n.distance, rbc_distance(retrieve_by.barcode, b.code) AS rbc
                    FROM cnnc_nearest(retrieve_by.code, candidates, number, filter) n
                    JOIN barcode b ON b.geometry_id = geometry AND b.image_id = n.image_id) f
              ORDER BY key, f.rbc, f.distance, f.image_id LIMIT top) r
        JOIN image i ON i.id = r.image_id
        ORDER BY r.key, r.rbc, r.distance, r.image_id;
END
$$;

COMMENT ON FUNCTION radretrieval.retrieve_by(bit, bytea, integer, integer, integer, jsonb) IS
    'The two-stage query: the nearest CNN codes to `code` (candidates, and those that tie with the last of them), put into '
    'the order that the encoder''s profile says, by both distances; the first `top` of them, 1 to candidates. Order: '
    'p * cnnc_distance / 1000 bits + (100 - p) * rbc_distance / bits of a barcode, where p is the profile''s '
    '{query,cnnc_percent}, 0 where it has none (the paper''s order, by barcode alone); ties by rbc_distance, cnnc_distance, '
    'image_id. Candidates without barcode of the encoder''s geometry are left out. encoder: NULL for the active one; filter: '
    'as of cnnc_nearest. Source: Liu, Tizhoosh and Kofman (2016), section 3.3.';

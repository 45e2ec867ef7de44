DROP FUNCTION IF EXISTS radretrieval.retrieve(bigint, integer, integer, integer, jsonb);
CREATE OR REPLACE FUNCTION radretrieval.retrieve(image bigint, top integer DEFAULT 10, candidates integer DEFAULT 50,
                                      encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, cnnc_distance integer, rbc_distance integer, irma_code text, uri text,
               patient_key text, study_instance_uid text, study_date date, modality text, body_part text,
               view_position text, laterality text, probability double precision, probability_t double precision,
               probability_d double precision, probability_a double precision, probability_b double precision,
               nothing_similar boolean)
LANGUAGE sql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT r.rank, r.image_id, r.cnnc_distance, r.rbc_distance, r.irma_code, r.uri, r.patient_key,
           r.study_instance_uid, r.study_date, r.modality, r.body_part, r.view_position, r.laterality,
           r.probability, r.probability_t, r.probability_d, r.probability_a, r.probability_b, r.nothing_similar
    FROM retrieve_by(code_of(retrieve.image, retrieve.encoder), barcode_of(retrieve.image, retrieve.encoder), retrieve.top,
                     retrieve.candidates, retrieve.encoder, filter_without(retrieve.filter, retrieve.image)) r
    ORDER BY r.rank
$$;

COMMENT ON FUNCTION radretrieval.retrieve(bigint, integer, integer, integer, jsonb) IS
    'The two-stage query of an image of the archive, never itself: the nearest `candidates` by CNN code (and those that tie'
    ' with the last), in the order of retrieve_by, the first `top` of them. encoder: NULL for the active one; filter: as of '
    'cnnc_nearest. An image that is unknown or not coded is an error that says what to do.';

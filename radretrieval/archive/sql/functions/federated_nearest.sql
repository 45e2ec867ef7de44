-- For who asks several archives at once, and knows of this one neither the number of an encoder nor ids of images. The lock of
-- audit_head is held until the rows are sent; who asks bounds that by tcp_user_timeout.
CREATE OR REPLACE FUNCTION radretrieval.federated_nearest(
    query bit, k integer, weights text, filter jsonb DEFAULT '{}', asked jsonb DEFAULT '{}')
RETURNS TABLE (image_id bigint, distance integer, path text, pseudonyms text)
LANGUAGE plpgsql VOLATILE ROWS 50 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := (SELECT e.id FROM encoder e WHERE e.weights_sha256 = decode(federated_nearest.weights, 'hex')
                                ORDER BY e.active DESC, e.id DESC LIMIT 1);
    -- equal where the same key makes the same pseudonyms; NULL where none is recorded
    key CONSTANT text := (SELECT jsonb_build_array(c.check_value, c.plain_issuer)::text FROM patient_key_check c
                          WHERE c.check_value IS NOT NULL);
    same_key CONSTANT boolean := coalesce(asked ->> 'pseudonyms' = key, false);
    film CONSTANT jsonb := asked -> 'film';
    wanted jsonb := coalesce(filter, '{}');
    own bigint;
    ids bigint[];
    distances integer[];
    way text;
BEGIN
    IF number IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found',
            MESSAGE = 'has no encoder with the weights ' || coalesce(left(federated_nearest.weights, 12), 'NULL') || '…; import it there, and compute its codes';
    ELSIF NOT same_key AND wanted ?| ARRAY['patient_key', 'not_patient'] THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'makes pseudonyms with another key, so that a filter of patient_key means nothing there';
    END IF;
    FOR own IN
        SELECT i.id FROM image i WHERE i.sha256 = decode(film ->> 'sha256', 'hex') AND i.frame = (film ->> 'frame')::integer
        UNION
        SELECT i.id FROM image i WHERE i.sop_instance_uid = film ->> 'sop_instance_uid' AND i.frame = (film ->> 'frame')::integer
            AND i.pixels_sha256 = decode(film ->> 'pixels_sha256', 'hex')
    LOOP
        wanted := filter_without(wanted, own);
    END LOOP;
    IF same_key AND asked ->> 'not_patient' IS NOT NULL THEN
        wanted := wanted || jsonb_build_object('not_patient', asked ->> 'not_patient');
    END IF;
    SELECT array_agg(n.image_id ORDER BY n.distance, n.image_id), array_agg(n.distance ORDER BY n.distance, n.image_id), min(n.path)
        INTO ids, distances, way FROM cnnc_nearest(query, k, number, wanted) n;
    -- as radretrieval.archive.audit.note does it: a role that may not add rows, and a standby, answer all the same
    IF current_setting('transaction_read_only') = 'off'
            AND has_function_privilege('radretrieval.audit_add(text, text, jsonb)', 'EXECUTE') THEN
        PERFORM set_config('synchronous_commit', 'off', true);
        PERFORM audit_add(coalesce(asked ->> 'who', session_user), 'search',
                          coalesce(asked -> 'detail', '{}') || jsonb_build_object(
                              'encoder_id', number, 'hits', coalesce(to_jsonb(ids), '[]'), 'federated', true));
    END IF;
    RETURN QUERY SELECT u.id, u.distance, way, key FROM unnest(ids, distances) u (id, distance);
END
$$;

COMMENT ON FUNCTION radretrieval.federated_nearest(bit, integer, text, jsonb, jsonb) IS
    'What cnnc_nearest gives, for a search of several archives (docs/federation.md): by the encoder with these weights (SHA-256, '
    'hexadecimal digits), without the film asked.film (sha256, frame, sop_instance_uid, pixels_sha256), and without the patient '
    'asked.not_patient where asked.pseudonyms says that the same key made it. Adds a row to audit, with asked.who and '
    'asked.detail, and the images that it gives as hits.';

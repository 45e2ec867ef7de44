CREATE OR REPLACE FUNCTION radretrieval.federated_similar(
    image bigint, k integer DEFAULT 10, encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}', deadline interval DEFAULT '5s')
RETURNS TABLE (rank integer, site text, image_id bigint, distance integer, irma_code text)
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT * FROM federated_similar_partial(federated_similar.image, federated_similar.k, federated_similar.encoder,
                                                federated_similar.filter, federated_similar.deadline) p
        ORDER BY p.problem IS NULL, p.rank, p.site
    LOOP
        IF found.problem IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'connection_exception',
                MESSAGE = 'the site ' || found.site || ' did not answer: ' || found.problem,
                HINT = 'federated_similar_partial answers without it.';
        END IF;
        federated_similar.rank := found.rank;
        federated_similar.site := found.site;
        federated_similar.image_id := found.image_id;
        federated_similar.distance := found.distance;
        federated_similar.irma_code := found.irma_code;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION radretrieval.federated_similar(bigint, integer, integer, jsonb, interval) IS
    'The k images of all sites that are nearest to an image of this archive by CNN code, never its own film, by (distance, site, '
    'image_id). Sites are the foreign servers of dblink_fdw that the caller may use; they are asked by the weights of the encoder '
    '(NULL: the active one). A site that does not answer within the deadline is an error. filter: as of cnnc_nearest.';

CREATE OR REPLACE FUNCTION radretrieval.exact_put(index_id integer, image_ids bigint[], anchors integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET jit = off AS $$
DECLARE
    encoder CONSTANT integer := (SELECT x.encoder_id FROM exact_index x WHERE x.id = exact_put.index_id);
    labels CONSTANT record := exact_labels(image_ids);
    placed bigint;
    wider jsonb;
BEGIN
    EXECUTE exact_put_statement(index_id, format(
        'SELECT c.image_id, c.code, f.facet_id, h.hint FROM unnest($1, $2) h (image_id, hint)'
        ' JOIN unnest($3, $4) f (image_id, facet_id) USING (image_id)'
        ' JOIN %I c ON c.image_id = h.image_id AND c.encoder_id = %L', 'cnnc_' || encoder, encoder))
        INTO placed, wider USING image_ids, anchors, labels.ids, labels.facets;
    PERFORM exact_none_missing(index_id, cardinality(image_ids) - placed);
    IF wider IS NOT NULL THEN
        PERFORM exact_widen(index_id, wider);
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_put(integer, bigint[], integer[]) IS
    'Puts the codes of these images, each with an anchor (NULL for the nearest), into an exact index that has them not yet. '
    'For index build.';

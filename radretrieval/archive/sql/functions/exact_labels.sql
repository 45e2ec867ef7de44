-- The rows are locked against a transaction that labels one of these images: else neither would see what the other wrote.
-- What comes of a locked row is its newest version.
CREATE OR REPLACE FUNCTION radretrieval.exact_labels(image_ids bigint[], OUT ids bigint[], OUT facets integer[])
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET jit = off AS $$
BEGIN
    FOR try IN 1 .. 2 LOOP
        SELECT array_agg(l.image_id), array_agg(t.id) INTO ids, facets FROM (
            SELECT * FROM image_facet i WHERE i.image_id = ANY (image_ids) ORDER BY i.image_id FOR SHARE) l
        NATURAL LEFT JOIN facet t;
        EXIT WHEN array_position(facets, NULL) IS NULL;
        PERFORM exact_facets(image_ids);
    END LOOP;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_labels(bigint[]) IS
    'Locks these images against changes, and gives their facets, which are added where they are new. For the triggers of the '
    'exact indexes.';

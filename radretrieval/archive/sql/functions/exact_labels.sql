-- The rows are locked against a transaction that labels one of these images: else neither would see what the other wrote.
-- What comes of a locked row is its newest version.
CREATE OR REPLACE FUNCTION radretrieval.exact_labels(image_ids bigint[], OUT ids bigint[], OUT facets integer[])
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET jit = off
-- a plan for any number of images would look each one's facet up
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    missing bigint[];
    new record;
BEGIN
    SELECT array_agg(l.image_id), array_agg(t.id) INTO ids, facets FROM (
        SELECT * FROM image_facet i WHERE i.image_id = ANY (image_ids) ORDER BY i.image_id FOR SHARE) l
    NATURAL LEFT JOIN facet t;
    IF array_position(facets, NULL) IS NOT NULL THEN
        SELECT array_agg(u.id) INTO missing FROM unnest(ids, facets) u (id, facet) WHERE u.facet IS NULL;
        PERFORM exact_facets(missing);
        SELECT array_agg(i.image_id) AS ids, array_agg(t.id) AS facets INTO new
        FROM image_facet i NATURAL JOIN facet t WHERE i.image_id = ANY (missing);
        SELECT array_agg(u.id) || new.ids, array_agg(u.facet) || new.facets INTO ids, facets
        FROM unnest(ids, facets) u (id, facet) WHERE u.facet IS NOT NULL;
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_labels(bigint[]) IS
    'Locks these images against changes, and gives their facets, which are added where they are new. For the triggers of the '
    'exact indexes.';

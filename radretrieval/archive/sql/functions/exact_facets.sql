CREATE OR REPLACE FUNCTION radretrieval.exact_facets(image_ids bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    -- in the order of the columns, so that two transactions that add the same facets never deadlock
    INSERT INTO facet (format, photometric, modality, body_part, view_position, laterality, irma_code, split, withdrawn)
    SELECT n.* FROM (
        SELECT DISTINCT i.format, i.photometric, i.modality, i.body_part, i.view_position, i.laterality, i.irma_code, i.split,
               i.withdrawn
        FROM image_facet i WHERE i.image_id = ANY (image_ids)) n
    NATURAL LEFT JOIN facet f
    WHERE f.id IS NULL
    ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ON CONFLICT DO NOTHING;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_facets(bigint[]) IS
    'Adds the facets of these images that are not there yet, for the triggers and for index build.';

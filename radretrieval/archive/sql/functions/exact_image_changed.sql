CREATE OR REPLACE FUNCTION radretrieval.exact_image_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    changed bigint[];
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN  -- exact_image_applied does it, row by row
        RETURN NULL;
    END IF;
    SELECT array_agg(a.id) INTO changed FROM after a JOIN before b ON b.id = a.id
    WHERE (a.format, a.photometric, a.modality, a.body_part, a.view_position, a.laterality, a.irma_code, a.split, a.withdrawn)
        IS DISTINCT FROM
          (b.format, b.photometric, b.modality, b.body_part, b.view_position, b.laterality, b.irma_code, b.split, b.withdrawn);
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM exact_writer_sees();
    PERFORM exact_relabel(changed);
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_image_changed() IS
    'Keeps the facets in the exact indexes true to the labels of the images, in the labelling transaction.';

-- it runs with the owner's rights: else anyone could call it by a trigger of their own on a temporary table
REVOKE ALL ON FUNCTION radretrieval.exact_image_changed() FROM PUBLIC;

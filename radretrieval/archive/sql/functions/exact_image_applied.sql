CREATE OR REPLACE FUNCTION radretrieval.exact_image_applied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN  -- foreign keys do nothing in the replica role
        DELETE FROM cnnc c USING encoder e WHERE c.encoder_id = e.id AND c.image_id = OLD.id;
        DELETE FROM cnnc_hidden h WHERE h.image_id = OLD.id;
        DELETE FROM barcode b USING geometry g WHERE b.geometry_id = g.id AND b.image_id = OLD.id;
        RETURN NULL;
    END IF;
    IF (OLD.format, OLD.photometric, OLD.modality, OLD.body_part, OLD.view_position, OLD.laterality, OLD.irma_code, OLD.split,
        OLD.withdrawn) IS DISTINCT FROM
       (NEW.format, NEW.photometric, NEW.modality, NEW.body_part, NEW.view_position, NEW.laterality, NEW.irma_code, NEW.split,
        NEW.withdrawn) AND exact_applies() THEN
        PERFORM exact_relabel(ARRAY[NEW.id]);
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_image_applied() IS
    'Keeps the facets in the exact indexes true to labels that logical replication applies, and deletes the codes of images that it '
    'deletes, in the applying transaction.';

-- it runs with the owner's rights: else anyone could call it by a trigger of their own on a temporary table
REVOKE ALL ON FUNCTION radretrieval.exact_image_applied() FROM PUBLIC;

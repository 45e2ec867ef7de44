CREATE OR REPLACE FUNCTION radretrieval.exact_image_applied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
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
    'Keeps the facets in the exact indexes true to labels that logical replication applies, in the applying transaction.';

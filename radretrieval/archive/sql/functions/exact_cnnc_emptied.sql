CREATE OR REPLACE FUNCTION radretrieval.exact_cnnc_emptied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    x record;
BEGIN
    FOR x IN SELECT i.id FROM exact_index i WHERE TG_TABLE_NAME = 'cnnc_' || i.encoder_id AND NOT i.bypassed LOOP
        EXECUTE format('TRUNCATE %I', 'exact_' || x.id);
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_cnnc_emptied() IS 'Empties the exact indexes of codes that were truncated.';

-- it runs with the owner's rights: else anyone could call it by a trigger of their own on a temporary table
REVOKE ALL ON FUNCTION radretrieval.exact_cnnc_emptied() FROM PUBLIC;

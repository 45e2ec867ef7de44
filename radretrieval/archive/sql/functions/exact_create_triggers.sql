DROP FUNCTION IF EXISTS radretrieval.exact_attend(regclass);  -- its name up to revision 0006

-- Statements that name the parent fire the parent's triggers, those that name a partition fire the partition's.
CREATE OR REPLACE FUNCTION radretrieval.exact_create_triggers(codes regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    x record;
BEGIN
    FOR x IN SELECT pg_get_triggerdef(t.oid) AS definition FROM pg_trigger t
             WHERE t.tgrelid = 'radretrieval.cnnc'::regclass AND starts_with(t.tgname, 'exact_') ORDER BY t.tgname LOOP
        EXECUTE replace(replace(x.definition, 'CREATE TRIGGER ', 'CREATE OR REPLACE TRIGGER '),
                        ' ON radretrieval.cnnc ', format(' ON %s ', codes));
    END LOOP;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_create_triggers(regclass) IS
    'Creates the triggers of cnnc on a partition of it, by which the exact indexes follow what is written to that.';

DROP FUNCTION IF EXISTS radretrieval.exact_attend(regclass);  -- its name up to revision 0006

-- Statements that name the parent fire the parent's triggers, those that name a partition fire the partition's. Those of rows
-- come to a partition with its attachment.
CREATE OR REPLACE FUNCTION radretrieval.exact_create_triggers(codes regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    x record;
BEGIN
    FOR x IN SELECT t.tgname AS name, pg_get_triggerdef(t.oid) AS definition FROM pg_trigger t
             WHERE t.tgrelid = 'radretrieval.cnnc'::regclass AND starts_with(t.tgname, 'exact_') AND t.tgtype & 1 = 0
             ORDER BY t.tgname LOOP
        EXECUTE replace(replace(x.definition, 'CREATE TRIGGER ', 'CREATE OR REPLACE TRIGGER '),
                        ' ON radretrieval.cnnc ', format(' ON %s ', codes));
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', codes, x.name);
    END LOOP;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_create_triggers(regclass) IS
    'Creates the triggers of cnnc on a partition of it, by which the exact indexes follow what is written to that.';

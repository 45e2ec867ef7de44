SELECT radretrieval.exact_distrust();

CREATE OR REPLACE TRIGGER exact_change AFTER UPDATE ON radretrieval.cnnc
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.exact_cnnc_changed();
ALTER TABLE ONLY radretrieval.cnnc ENABLE ALWAYS TRIGGER exact_change;

-- and on the partitions that there are
SELECT radretrieval.exact_create_triggers(i.inhrelid) FROM pg_inherits i WHERE i.inhparent = 'radretrieval.cnnc'::regclass;

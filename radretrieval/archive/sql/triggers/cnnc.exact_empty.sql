SELECT radretrieval.exact_distrust();

CREATE OR REPLACE TRIGGER exact_empty AFTER TRUNCATE ON radretrieval.cnnc
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.exact_cnnc_emptied();
ALTER TABLE ONLY radretrieval.cnnc ENABLE ALWAYS TRIGGER exact_empty;

-- and on the partitions that there are
SELECT radretrieval.exact_create_triggers(i.inhrelid) FROM pg_inherits i WHERE i.inhparent = 'radretrieval.cnnc'::regclass;

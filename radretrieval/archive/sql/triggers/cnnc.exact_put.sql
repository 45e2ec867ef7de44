SELECT radretrieval.exact_distrust();

CREATE OR REPLACE TRIGGER exact_put AFTER INSERT ON radretrieval.cnnc
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.exact_cnnc_changed();
ALTER TABLE ONLY radretrieval.cnnc ENABLE ALWAYS TRIGGER exact_put;

-- and on the partitions that there are
SELECT radretrieval.exact_create_triggers(i.inhrelid) FROM pg_inherits i WHERE i.inhparent = 'radretrieval.cnnc'::regclass;

SELECT radretrieval.exact_distrust();

CREATE OR REPLACE TRIGGER exact_applied AFTER INSERT OR UPDATE OR DELETE ON radretrieval.cnnc
    FOR EACH ROW EXECUTE FUNCTION radretrieval.exact_cnnc_applied();
ALTER TABLE radretrieval.cnnc ENABLE REPLICA TRIGGER exact_applied;  -- on its partitions too

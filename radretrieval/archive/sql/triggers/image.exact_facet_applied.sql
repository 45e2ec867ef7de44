SELECT radretrieval.exact_distrust();

CREATE OR REPLACE TRIGGER exact_facet_applied AFTER UPDATE OR DELETE ON radretrieval.image
    FOR EACH ROW EXECUTE FUNCTION radretrieval.exact_image_applied();
ALTER TABLE radretrieval.image ENABLE REPLICA TRIGGER exact_facet_applied;

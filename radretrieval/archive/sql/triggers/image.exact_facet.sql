SELECT radretrieval.exact_distrust();

CREATE OR REPLACE TRIGGER exact_facet AFTER UPDATE ON radretrieval.image
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.exact_image_changed();
ALTER TABLE radretrieval.image ENABLE ALWAYS TRIGGER exact_facet;

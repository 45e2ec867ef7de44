-- A function of its own makes those of cnnc, for partitions that are made later get them too.
CREATE OR REPLACE TRIGGER exact_facet AFTER UPDATE ON radretrieval.image
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.exact_image_changed();

SELECT radretrieval.exact_attend('radretrieval.cnnc');
SELECT radretrieval.exact_attend(('radretrieval.cnnc_' || e.id)::regclass) FROM radretrieval.encoder e
WHERE to_regclass('radretrieval.cnnc_' || e.id) IS NOT NULL;

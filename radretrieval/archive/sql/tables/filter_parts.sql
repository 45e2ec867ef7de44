COMMENT ON TYPE radretrieval.filter_parts IS
    'A filter as cnnc_nearest uses it: conditions on facet f, the other conditions on image i, all of them on image i, '
    'images that are left out, whether one hit a patient or a study is wanted, and the largest distance.';
COMMENT ON COLUMN radretrieval.filter_parts.facets IS 'Condition on facet f, as SQL; NULL for none.';
COMMENT ON COLUMN radretrieval.filter_parts.tests IS 'Conditions on image i that facet cannot answer, as SQL; NULL for none.';
COMMENT ON COLUMN radretrieval.filter_parts.images IS 'All conditions, on image i, as SQL; NULL for none.';
COMMENT ON COLUMN radretrieval.filter_parts.not_images IS 'Images that are left out.';
COMMENT ON COLUMN radretrieval.filter_parts.one_per IS
    'Column of which each value may come once, patient_key or study_instance_uid; NULL for neither.';
COMMENT ON COLUMN radretrieval.filter_parts.most IS 'Largest distance, 0 to 1000.';

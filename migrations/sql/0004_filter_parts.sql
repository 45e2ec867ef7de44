CREATE TYPE radretrieval.filter_parts AS (
    facets text, tests text, images text, not_images bigint[], one_per text, most integer);
COMMENT ON TYPE radretrieval.filter_parts IS
    'A filter as cnnc_nearest uses it: conditions on facet f, the other conditions on image i, all of them on image i, '
    'images that are left out, whether one hit a patient or a study is wanted, and the largest distance.';

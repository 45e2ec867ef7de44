-- The one list of the columns that a facet is made of: NATURAL JOIN facet finds the facet of an image, and compares every
-- column that the two share. security_invoker: who reads it needs the right to read image.
CREATE OR REPLACE VIEW radretrieval.image_facet WITH (security_invoker = true) AS
SELECT i.id AS image_id, i.format, i.photometric, coalesce(i.modality, '') AS modality,
       coalesce(i.body_part, '') AS body_part, coalesce(i.view_position, '') AS view_position,
       coalesce(i.laterality, '') AS laterality, coalesce(i.irma_code, '') AS irma_code, coalesce(i.split, '') AS split,
       i.withdrawn
FROM radretrieval.image i;

GRANT SELECT ON radretrieval.image_facet TO PUBLIC;

COMMENT ON VIEW radretrieval.image_facet IS
    'The columns of each image that a facet is made of, written as facet has them; NATURAL JOIN facet gives its facet.';
COMMENT ON COLUMN radretrieval.image_facet.image_id IS 'Number of the image.';
COMMENT ON COLUMN radretrieval.image_facet.format IS 'As image.format.';
COMMENT ON COLUMN radretrieval.image_facet.photometric IS 'As image.photometric.';
COMMENT ON COLUMN radretrieval.image_facet.modality IS 'As image.modality; '''' for NULL.';
COMMENT ON COLUMN radretrieval.image_facet.body_part IS 'As image.body_part; '''' for NULL.';
COMMENT ON COLUMN radretrieval.image_facet.view_position IS 'As image.view_position; '''' for NULL.';
COMMENT ON COLUMN radretrieval.image_facet.laterality IS 'As image.laterality; '''' for NULL.';
COMMENT ON COLUMN radretrieval.image_facet.irma_code IS 'As image.irma_code; '''' for NULL.';
COMMENT ON COLUMN radretrieval.image_facet.split IS 'As image.split; '''' for NULL.';
COMMENT ON COLUMN radretrieval.image_facet.withdrawn IS 'As image.withdrawn.';

COMMENT ON TABLE radretrieval.facet IS
    'Each combination that images have of the columns with few values; what an image has not is ''''.';
COMMENT ON COLUMN radretrieval.facet.id IS 'Number of the combination; rows of exact indexes name it.';
COMMENT ON COLUMN radretrieval.facet.format IS 'As image.format.';
COMMENT ON COLUMN radretrieval.facet.photometric IS 'As image.photometric.';
COMMENT ON COLUMN radretrieval.facet.modality IS 'As image.modality; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.body_part IS 'As image.body_part; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.view_position IS 'As image.view_position; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.laterality IS 'As image.laterality; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.irma_code IS 'As image.irma_code; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.split IS 'As image.split; '''' for NULL.';
COMMENT ON COLUMN radretrieval.facet.withdrawn IS 'As image.withdrawn.';

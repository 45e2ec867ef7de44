COMMENT ON TABLE radretrieval.geometry IS 'Kinds of Radon barcodes; only barcodes of one kind can be compared.';
COMMENT ON COLUMN radretrieval.geometry.id IS 'Number of the geometry.';
COMMENT ON COLUMN radretrieval.geometry.size IS 'Side of the square that the image is brought to, in pixels.';
COMMENT ON COLUMN radretrieval.geometry.angles IS 'How many projections, evenly over 180 degrees.';
COMMENT ON COLUMN radretrieval.geometry.bins IS
    'Bins of one projection: the diagonal of the square in pixels, rounded up.';
COMMENT ON COLUMN radretrieval.geometry.rule IS
    'How a bin becomes a bit: median-positive, whether it is above the median of the projection''s positive bins.';

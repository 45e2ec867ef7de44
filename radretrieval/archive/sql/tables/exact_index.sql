COMMENT ON TABLE radretrieval.exact_index IS
    'Exact indexes: each has its rows, with a copy of the codes, in a table exact_<id>.';
COMMENT ON COLUMN radretrieval.exact_index.id IS 'Number of the index, and of its table exact_<id>.';
COMMENT ON COLUMN radretrieval.exact_index.encoder_id IS 'Whose codes it finds.';
COMMENT ON COLUMN radretrieval.exact_index.live IS 'Searches use it; false while it is built.';
COMMENT ON COLUMN radretrieval.exact_index.bypassed IS
    'Codes or labels were written that it did not follow: searches compare with every code until index build.';
COMMENT ON COLUMN radretrieval.exact_index.begun_at IS 'When its building began.';
COMMENT ON COLUMN radretrieval.exact_index.live_at IS 'When searches began to use it.';
COMMENT ON COLUMN radretrieval.exact_index.codes IS 'How many codes it had when it went live.';

COMMENT ON TABLE radretrieval.exact_anchor IS
    'The codes that stand for the others: a search looks at those near some of them.';
COMMENT ON COLUMN radretrieval.exact_anchor.index_id IS 'Index that the anchor belongs to.';
COMMENT ON COLUMN radretrieval.exact_anchor.anchor IS 'Number of the anchor: key / 1024 of its codes.';
COMMENT ON COLUMN radretrieval.exact_anchor.nearest IS 'No code of this anchor is nearer to it.';
COMMENT ON COLUMN radretrieval.exact_anchor.farthest IS 'No code of this anchor is farther from it.';
COMMENT ON COLUMN radretrieval.exact_anchor.codes IS 'How many codes it had when the index went live.';
COMMENT ON COLUMN radretrieval.exact_anchor.code IS '1000 bits that the codes of the anchor are near to.';

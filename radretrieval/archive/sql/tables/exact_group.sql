COMMENT ON TABLE radretrieval.exact_group IS
    'Anchors that are near to one another: a search leaves groups out that have no code near enough.';
COMMENT ON COLUMN radretrieval.exact_group.index_id IS 'Index that the group belongs to.';
COMMENT ON COLUMN radretrieval.exact_group.first IS 'The first of its anchors, by number.';
COMMENT ON COLUMN radretrieval.exact_group.last IS 'The last of its anchors.';
COMMENT ON COLUMN radretrieval.exact_group.reach IS 'No code of these anchors is farther from the code of the group.';
COMMENT ON COLUMN radretrieval.exact_group.codes IS 'How many codes its anchors had when the index went live.';
COMMENT ON COLUMN radretrieval.exact_group.code IS '1000 bits that the anchors are near to.';

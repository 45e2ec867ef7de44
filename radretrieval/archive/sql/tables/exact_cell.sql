COMMENT ON TABLE radretrieval.exact_cell IS
    'Which facets the codes of an anchor have: a filtered search leaves the other anchors out.';
COMMENT ON COLUMN radretrieval.exact_cell.index_id IS 'Index that the anchor belongs to.';
COMMENT ON COLUMN radretrieval.exact_cell.facet_id IS 'Combination (facet.id) that some code of the anchor has.';
COMMENT ON COLUMN radretrieval.exact_cell.anchor IS 'Number of the anchor.';
COMMENT ON COLUMN radretrieval.exact_cell.codes IS 'How many when it was noted; a statistic.';

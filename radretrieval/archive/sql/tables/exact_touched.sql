COMMENT ON TABLE radretrieval.exact_touched IS
    'Images that changed while an index is built; its builder looks at them again.';
COMMENT ON COLUMN radretrieval.exact_touched.id IS 'Number of the note.';
COMMENT ON COLUMN radretrieval.exact_touched.index_id IS 'Index that is being built.';
COMMENT ON COLUMN radretrieval.exact_touched.image_id IS 'Image whose code or labels changed.';

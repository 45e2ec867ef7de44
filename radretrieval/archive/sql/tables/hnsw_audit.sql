COMMENT ON TABLE radretrieval.hnsw_audit IS 'What index audit measured last of an encoder''s HNSW index.';
COMMENT ON COLUMN radretrieval.hnsw_audit.encoder_id IS 'Encoder whose HNSW index was measured.';
COMMENT ON COLUMN radretrieval.hnsw_audit.recall IS 'Mean share of the true nearest that were found.';
COMMENT ON COLUMN radretrieval.hnsw_audit.recall_worst IS 'The same of the worst query.';
COMMENT ON COLUMN radretrieval.hnsw_audit.sample IS 'How many codes were asked for.';
COMMENT ON COLUMN radretrieval.hnsw_audit.codes IS 'How many codes there were.';
COMMENT ON COLUMN radretrieval.hnsw_audit.measured_at IS 'When.';

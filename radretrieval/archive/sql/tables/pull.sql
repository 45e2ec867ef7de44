COMMENT ON TABLE radretrieval.pull IS 'How far pulls from peers have come; the next one goes on from there.';
COMMENT ON COLUMN radretrieval.pull.url IS 'DICOMweb root, or AE@host:port, of the peer.';
COMMENT ON COLUMN radretrieval.pull.query IS 'What it was asked for, beside dates.';
COMMENT ON COLUMN radretrieval.pull.change IS 'Orthanc: the last change that was followed.';
COMMENT ON COLUMN radretrieval.pull.study_date IS 'Studies before this date are complete here.';
COMMENT ON COLUMN radretrieval.pull.pulled_at IS 'When a pull ended last.';
COMMENT ON COLUMN radretrieval.pull.reconciled_at IS 'When deletions were looked for last.';

COMMENT ON TABLE radretrieval.write_lock IS
    'Locks of those that write: a row each, or, of a file''s content, one that is inserted and deleted in the same transaction.';
COMMENT ON COLUMN radretrieval.write_lock.name IS
    'ingestion, or the SHA-256 of a content.';

COMMENT ON TABLE radretrieval.audit_head IS 'The end of the chain of audit, one row; its lock is held while a row is added.';
COMMENT ON COLUMN radretrieval.audit_head.id IS '1, as audit_add leaves it: the key keeps it one row.';
COMMENT ON COLUMN radretrieval.audit_head.last_id IS 'Number of the last row.';
COMMENT ON COLUMN radretrieval.audit_head.at IS 'When it was added.';
COMMENT ON COLUMN radretrieval.audit_head.hash IS 'Its hash.';

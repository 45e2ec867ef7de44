COMMENT ON TABLE radretrieval.audit_export IS 'How far audit was exported, for each target; audit export --since last goes on from there.';
COMMENT ON COLUMN radretrieval.audit_export.target IS 'Folder of the files, or address of the syslog server.';
COMMENT ON COLUMN radretrieval.audit_export.last_id IS 'Number of the last row that it has.';
COMMENT ON COLUMN radretrieval.audit_export.at IS 'When it got it.';

COMMENT ON TABLE radretrieval.audit IS
    'Who did what: a hash chain, by month. Rows are added by the function audit_add, and a trigger refuses to change or delete them.';
COMMENT ON COLUMN radretrieval.audit.id IS 'Number of the row, without gaps from revision 0011 on.';
COMMENT ON COLUMN radretrieval.audit.at IS 'When it was done, by the clock of the server; never before the row before.';
COMMENT ON COLUMN radretrieval.audit.who IS
    'As the program says: who logged in to the page (local where nobody has to), a calling AE title, or the user of the operating system.';
COMMENT ON COLUMN radretrieval.audit.db_role IS
    'The role that was logged in to the database; NULL in rows of before revision 0011.';
COMMENT ON COLUMN radretrieval.audit.action IS 'What was done, as search.';
COMMENT ON COLUMN radretrieval.audit.detail IS 'To what, and how, as JSON; no pixels, and nothing of a header.';
COMMENT ON COLUMN radretrieval.audit.hash IS 'By audit_hash, of the hash of the row before and of this row.';

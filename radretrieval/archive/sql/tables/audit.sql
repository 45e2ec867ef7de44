COMMENT ON TABLE radretrieval.audit IS
    'Who did what: a row for each search and each opinion. Rows are added, and a trigger refuses to change or delete them.';
COMMENT ON COLUMN radretrieval.audit.id IS 'Number of the row, in the order of its begin.';
COMMENT ON COLUMN radretrieval.audit.at IS 'When it happened.';
COMMENT ON COLUMN radretrieval.audit.who IS 'User: the one who logged in to the page, local where nobody has to, or that of the operating system.';
COMMENT ON COLUMN radretrieval.audit.action IS 'What was done, as search.';
COMMENT ON COLUMN radretrieval.audit.detail IS 'To what, and how, as JSON; no pixels, and nothing of a header.';

COMMENT ON TABLE radretrieval.irma_term IS
    'The official tree of IRMA codes: every beginning of an axis and what it means.';
COMMENT ON COLUMN radretrieval.irma_term.axis IS 'T technique, D direction, A anatomy, B biosystem.';
COMMENT ON COLUMN radretrieval.irma_term.prefix IS 'First characters of the axis, from none (the root) to all of them.';
COMMENT ON COLUMN radretrieval.irma_term.label IS 'What the last of these characters means.';
COMMENT ON COLUMN radretrieval.irma_term.children IS
    'How many characters may follow; 0 ends the axis. ImageCLEF''s error is weighted by it.';

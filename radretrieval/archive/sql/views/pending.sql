CREATE OR REPLACE VIEW radretrieval.pending AS
SELECT i.id AS image_id, e.id AS encoder_id, i.uri, i.split, i.ingested_at, now() - i.ingested_at AS waiting,
       f.error, f.message, f.attempts, f.last_at AS failed_at
FROM radretrieval.image i
LEFT JOIN radretrieval.encoder e ON e.active
LEFT JOIN radretrieval.coding_failure f ON f.encoder_id = e.id AND f.image_id = i.id
WHERE i.hidden_at IS NULL
  AND NOT EXISTS (SELECT FROM radretrieval.cnnc c
                  WHERE c.encoder_id = (SELECT a.id FROM radretrieval.encoder a WHERE a.active) AND c.image_id = i.id);

COMMENT ON VIEW radretrieval.pending IS
    'Images that have no code of the active encoder: since when, and what went wrong last if something did. '
    'None that is withdrawn from searches.';
COMMENT ON COLUMN radretrieval.pending.image_id IS 'Image that has no code.';
COMMENT ON COLUMN radretrieval.pending.encoder_id IS 'The active encoder; NULL when none is.';
COMMENT ON COLUMN radretrieval.pending.uri IS 'Where its file was seen last.';
COMMENT ON COLUMN radretrieval.pending.split IS 'Split of the image; NULL for none.';
COMMENT ON COLUMN radretrieval.pending.ingested_at IS 'When it came into the archive.';
COMMENT ON COLUMN radretrieval.pending.waiting IS 'How long it has been in the archive.';
COMMENT ON COLUMN radretrieval.pending.error IS 'Kind of the last error; NULL where it was not tried, or never failed.';
COMMENT ON COLUMN radretrieval.pending.message IS 'What was wrong, in words; NULL as error.';
COMMENT ON COLUMN radretrieval.pending.attempts IS 'How often it was tried in vain; NULL as error.';
COMMENT ON COLUMN radretrieval.pending.failed_at IS 'When it was tried last; NULL as error.';

COMMENT ON TABLE radretrieval.image_history IS
    'What corrections replaced: a newer file had the pixels of an image and another header, and the row of image follows it.';
COMMENT ON COLUMN radretrieval.image_history.id IS 'Number of the change, in the order of reception.';
COMMENT ON COLUMN radretrieval.image_history.image_id IS 'The image.';
COMMENT ON COLUMN radretrieval.image_history.changed_at IS 'When the newer file was taken.';
COMMENT ON COLUMN radretrieval.image_history.origin IS
    'AE title or URL of the peer that the newer file came from; NULL of a file that was found.';
COMMENT ON COLUMN radretrieval.image_history.sha256 IS 'SHA-256 of the file that was replaced, 32 bytes.';
COMMENT ON COLUMN radretrieval.image_history.old IS
    'The columns of image that changed and their values before, as JSON; of the patient the pseudonym, of the place a URL only.';

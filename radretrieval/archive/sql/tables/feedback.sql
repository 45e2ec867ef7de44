COMMENT ON TABLE radretrieval.feedback IS
    'What users say of hits: of each user, query and hit the last opinion. Whoever takes one back deletes its row; audit has all.';
COMMENT ON COLUMN radretrieval.feedback.id IS 'Number of the opinion.';
COMMENT ON COLUMN radretrieval.feedback.at IS 'When it was given, or changed last.';
COMMENT ON COLUMN radretrieval.feedback.who IS 'User who gave it.';
COMMENT ON COLUMN radretrieval.feedback.query_image_id IS 'The query, where it was an image of the archive; else NULL.';
COMMENT ON COLUMN radretrieval.feedback.query_sha256 IS
    'SHA-256 of the query''s file, 32 bytes, where it was no image of the archive; image.sha256 where it came in later. Else NULL.';
COMMENT ON COLUMN radretrieval.feedback.hit_image_id IS 'The hit.';
COMMENT ON COLUMN radretrieval.feedback.relevant IS 'Whether the hit is relevant to the query.';
COMMENT ON COLUMN radretrieval.feedback.encoder_id IS 'Encoder that found the hit; NULL where it was deleted, or nobody told.';
COMMENT ON COLUMN radretrieval.feedback.rank IS 'Place of the hit in the answer, from 1; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.feedback.cnnc_distance IS 'In how many bits the CNN codes differ; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.feedback.rbc_distance IS 'In how many bits the Radon barcodes differ; NULL where nobody told.';

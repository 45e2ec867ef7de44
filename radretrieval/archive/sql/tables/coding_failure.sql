COMMENT ON TABLE radretrieval.coding_failure IS
    'Images that could not be coded by an encoder, and why; an image that has a code leaves it.';
COMMENT ON COLUMN radretrieval.coding_failure.encoder_id IS 'Encoder that could not.';
COMMENT ON COLUMN radretrieval.coding_failure.image_id IS 'Image that could not be coded.';
COMMENT ON COLUMN radretrieval.coding_failure.error IS 'Kind of the error, as ImageError.';
COMMENT ON COLUMN radretrieval.coding_failure.message IS 'What is wrong, in words.';
COMMENT ON COLUMN radretrieval.coding_failure.attempts IS 'How often it was tried, from 1.';
COMMENT ON COLUMN radretrieval.coding_failure.last_at IS 'When it was tried last.';

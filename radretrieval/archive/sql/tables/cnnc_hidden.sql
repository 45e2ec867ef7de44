COMMENT ON TABLE radretrieval.cnnc_hidden IS
    'CNN codes of images that are withdrawn from searches (image.hidden_at): searches read cnnc, and these are not there.';
COMMENT ON COLUMN radretrieval.cnnc_hidden.encoder_id IS 'Encoder that made the code.';
COMMENT ON COLUMN radretrieval.cnnc_hidden.image_id IS 'Image that has the code.';
COMMENT ON COLUMN radretrieval.cnnc_hidden.code IS 'The code, as it stood in cnnc and will stand there again.';

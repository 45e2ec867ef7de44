COMMENT ON TABLE radretrieval.cnnc IS 'CNN codes, in a partition cnnc_<id> for each encoder.';
COMMENT ON COLUMN radretrieval.cnnc.encoder_id IS 'Encoder that made the code.';
COMMENT ON COLUMN radretrieval.cnnc.image_id IS 'Image that has the code.';
COMMENT ON COLUMN radretrieval.cnnc.code IS '1000 bits; a <~> b is the Hamming distance of two of them, 0 to 1000.';

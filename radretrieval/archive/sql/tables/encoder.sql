COMMENT ON TABLE radretrieval.encoder IS
    'Trained networks, each with its profile; their codes are never compared with one another.';
COMMENT ON COLUMN radretrieval.encoder.id IS 'Number of the encoder, in the order of training.';
COMMENT ON COLUMN radretrieval.encoder.profile IS 'Every number of the method: network, training, barcode, query.';
COMMENT ON COLUMN radretrieval.encoder.profile_hash IS
    'SHA-256 of the profile, 64 hexadecimal digits: encoders of equal hash differ in their weights only.';
COMMENT ON COLUMN radretrieval.encoder.classes IS 'IRMA code of each softmax unit, in their order.';
COMMENT ON COLUMN radretrieval.encoder.weights IS 'The weights, in the format safetensors; about 140 MB.';
COMMENT ON COLUMN radretrieval.encoder.weights_sha256 IS 'SHA-256 of the weights, 32 bytes.';
COMMENT ON COLUMN radretrieval.encoder.metrics IS 'What was noted of the training: split, images, loss, ….';
COMMENT ON COLUMN radretrieval.encoder.created_at IS 'When it was stored.';
COMMENT ON COLUMN radretrieval.encoder.active IS 'Searches and workers use it unless another is named; at most one is.';
COMMENT ON COLUMN radretrieval.encoder.calibration IS
    'What its probabilities are calculated by, fitted on training films that the network did not learn: curves (see the '
    'function calibrated) for the code and for each axis, and far, the mean distance of the three nearest codes, as a share '
    'of the bits, beyond which there is nothing similar. NULL for an encoder that states none.';

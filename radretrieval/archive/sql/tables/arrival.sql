COMMENT ON TABLE radretrieval.arrival IS
    'Files that came from peers and lie in the store, until they are images or have failed.';
COMMENT ON COLUMN radretrieval.arrival.id IS 'Number, in order of arrival.';
COMMENT ON COLUMN radretrieval.arrival.sha256 IS 'SHA-256 of the file, 32 bytes: its name in the store.';
COMMENT ON COLUMN radretrieval.arrival.uri IS 'What the image will have as its uri.';
COMMENT ON COLUMN radretrieval.arrival.origin IS 'AE title or URL of the peer that it came from.';
COMMENT ON COLUMN radretrieval.arrival.sop_instance_uid IS 'DICOM SOP Instance UID that its sender named.';
COMMENT ON COLUMN radretrieval.arrival.arrived_at IS 'When it was on the disk.';

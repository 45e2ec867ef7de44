COMMENT ON TABLE radretrieval.ingest_failure IS
    'Files that could not be taken into the archive, and why; a file that is mended or gone leaves it.';
COMMENT ON COLUMN radretrieval.ingest_failure.uri IS 'Where the file lies: file:///…, or file:hidden/… with its path encrypted; store:… and URLs: received, pulled.';
COMMENT ON COLUMN radretrieval.ingest_failure.sha256 IS
    'SHA-256 of the file, 32 bytes; NULL where it could not be read.';
COMMENT ON COLUMN radretrieval.ingest_failure.error IS 'Kind of the error, as ImageError.';
COMMENT ON COLUMN radretrieval.ingest_failure.message IS 'What is wrong, in words.';
COMMENT ON COLUMN radretrieval.ingest_failure.attempts IS 'How often it was tried, from 1.';
COMMENT ON COLUMN radretrieval.ingest_failure.last_at IS 'When it was tried last.';
COMMENT ON COLUMN radretrieval.ingest_failure.origin IS
    'AE title or URL of the peer that it came from; NULL for files of folders.';
COMMENT ON COLUMN radretrieval.ingest_failure.sop_instance_uid IS
    'SOP Instance UID (0008,0018) as the peer named it; NULL for files of folders.';

COMMENT ON TABLE radretrieval.tombstone IS
    'What was forgotten and is not taken again, as keyed hashes: without the key of the patient pseudonyms nobody can test a guess.';
COMMENT ON COLUMN radretrieval.tombstone.kind IS 'Of what digest is: patient, study, sop (a SOP Instance UID) or sha256 (a file).';
COMMENT ON COLUMN radretrieval.tombstone.digest IS
    'Of a patient the pseudonym, else an HMAC of UID or SHA-256 under the same key: 16 bytes. A rotation of the key replaces it.';
COMMENT ON COLUMN radretrieval.tombstone.at IS 'When it was forgotten: rows of one forgetting have the same.';
COMMENT ON COLUMN radretrieval.tombstone.content IS
    'SHA-256 of a file of which the store may still have something; NULL as soon as that is deleted.';

COMMENT ON TABLE radretrieval.patient_key_check IS
    'The key that the pseudonyms of patients are made with, one row: whoever writes with another key is refused.';
COMMENT ON COLUMN radretrieval.patient_key_check.id IS '1: there is one row.';
COMMENT ON COLUMN radretrieval.patient_key_check.check_value IS
    'A keyed hash that identifies the key and does not reveal it; NULL until a key is used, in archives of before 0008.';
COMMENT ON COLUMN radretrieval.patient_key_check.plain_issuer IS
    'Issuer whose identifiers make pseudonyms as those without an issuer do, empty for none; NULL: no pseudonym takes the issuer.';
COMMENT ON COLUMN radretrieval.patient_key_check.recorded_at IS 'When it was recorded.';

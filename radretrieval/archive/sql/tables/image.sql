COMMENT ON TABLE radretrieval.image IS 'Radiographs of the archive, one row a file; the pixels stay in the files.';
COMMENT ON COLUMN radretrieval.image.id IS
    'Number of the image, in the order of ingestion; what searches and all other tables name it by.';
COMMENT ON COLUMN radretrieval.image.sha256 IS
    'SHA-256 of the file, 32 bytes: a file is known by its content, wherever it lies.';
COMMENT ON COLUMN radretrieval.image.uri IS 'Where the file was seen last: file:///…, file:hidden/… with its path encrypted, store:… or http(s)://….';
COMMENT ON COLUMN radretrieval.image.format IS 'What kind of file it is: png, jpeg, tiff or dicom.';
COMMENT ON COLUMN radretrieval.image.rows IS 'Height in pixels.';
COMMENT ON COLUMN radretrieval.image.columns IS 'Width in pixels.';
COMMENT ON COLUMN radretrieval.image.bits_stored IS 'Bits of a grey value, 1 to 16.';
COMMENT ON COLUMN radretrieval.image.photometric IS
    'What the pixel values mean, in DICOM''s words: MONOCHROME1 (0 is white), MONOCHROME2 (0 is black), RGB, ….';
COMMENT ON COLUMN radretrieval.image.modality IS 'DICOM modality, as CR, DX or MG; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.body_part IS
    'Examined part of the body, in DICOM''s words, as CHEST; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.view_position IS
    'Direction of the view, in DICOM''s words, as PA or LL; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.laterality IS 'Side of a paired part of the body, R or L; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.sop_instance_uid IS
    'DICOM SOP Instance UID: the identity of the image beside its content; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.series_instance_uid IS 'DICOM Series Instance UID; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.study_instance_uid IS
    'DICOM Study Instance UID: one examination of a patient; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.patient_key IS
    'Pseudonym of the patient, a keyed hash and never the identifier; NULL where the patient is not known.';
COMMENT ON COLUMN radretrieval.image.irma_code IS
    'IRMA code TTTT-DDD-AAA-BBB, the class of the image; NULL without a label. The view image_decoded has it in words.';
COMMENT ON COLUMN radretrieval.image.split IS
    'Which part of a data set the image belongs to, as train or test; NULL for none.';
COMMENT ON COLUMN radretrieval.image.ingested_at IS 'When the image came into the archive.';
COMMENT ON COLUMN radretrieval.image.withdrawn IS
    'Its label was taken back by its publisher: kept and searchable, left out of training and scores unless asked.';
COMMENT ON COLUMN radretrieval.image.frame IS 'Which frame of the file, from 1; 1 of files with one.';
COMMENT ON COLUMN radretrieval.image.sop_class_uid IS
    'DICOM SOP Class UID: what kind of object it is; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.transfer_syntax_uid IS
    'DICOM Transfer Syntax UID: how its file is encoded; NULL of other files.';
COMMENT ON COLUMN radretrieval.image.pixels_sha256 IS
    'SHA-256 of the stored pixel values, 32 bytes: equal in every lossless encoding; NULL where not known.';
COMMENT ON COLUMN radretrieval.image.same_uid IS
    'Its SOP Instance UID was another image''s already, whose pixels differ: one of the two is wrong.';
COMMENT ON COLUMN radretrieval.image.study_date IS 'DICOM Study Date; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.manufacturer IS 'Manufacturer of the equipment; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.row_spacing IS 'Distance of neighbouring rows in mm; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.column_spacing IS
    'Distance of neighbouring columns in mm; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.kvp IS 'Peak voltage of the X-ray tube in kV; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.exposure IS 'Exposure in mAs; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image.shown_sha256 IS
    'SHA-256 of the picture that its codes are of: pixels_sha256 through look-up tables and window, as 16-bit whole numbers; '
    'NULL where the file is no DICOM, or an older version ingested it.';
COMMENT ON COLUMN radretrieval.image.flat IS
    'Its pixels show nothing: nearly all have one grey value. NULL where an older version ingested it: verify looks.';
COMMENT ON COLUMN radretrieval.image.header IS
    'Other attributes of the DICOM header by keyword, where RADRETRIEVAL_HEADER_MORE asked for them.';
COMMENT ON COLUMN radretrieval.image.origin IS
    'AE title or URL of the peer that it came from; NULL of files that were found.';
COMMENT ON COLUMN radretrieval.image.kept IS
    'What the store keeps of it: copy, the file; reduced, its pixels at a lower size; NULL, nothing.';
COMMENT ON COLUMN radretrieval.image.gone_at IS
    'When its file, or the peer that it came from, was found to have it no more.';
COMMENT ON COLUMN radretrieval.image.labelled IS
    'Those of patient_key, modality, body_part, view_position and laterality that labels set: no header changes them.';
COMMENT ON COLUMN radretrieval.image.hidden_at IS
    'When it was withdrawn from searches (radretrieval withdraw); NULL: it can be found. Not withdrawn, which is of its label.';

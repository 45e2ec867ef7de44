-- Views as they were before images could be withdrawn. Replaced in place, all but the last keep comments and rights.

CREATE OR REPLACE VIEW radretrieval.coverage AS
SELECT i.split, i.modality, i.body_part, i.irma_code, count(*) AS images, count(c.image_id) AS coded,
       count(b.image_id) AS barcoded, count(f.image_id) FILTER (WHERE c.image_id IS NULL) AS failed,
       count(*) - count(c.image_id) AS pending
FROM radretrieval.image i
LEFT JOIN radretrieval.cnnc c
    ON c.encoder_id = (SELECT e.id FROM radretrieval.encoder e WHERE e.active) AND c.image_id = i.id
LEFT JOIN radretrieval.barcode b
    ON b.geometry_id = (SELECT radretrieval.encoder_geometry(e.id) FROM radretrieval.encoder e WHERE e.active)
   AND b.image_id = i.id
LEFT JOIN radretrieval.coding_failure f
    ON f.encoder_id = (SELECT e.id FROM radretrieval.encoder e WHERE e.active) AND f.image_id = i.id
GROUP BY i.split, i.modality, i.body_part, i.irma_code;

CREATE OR REPLACE VIEW radretrieval.pending AS
SELECT i.id AS image_id, e.id AS encoder_id, i.uri, i.split, i.ingested_at, now() - i.ingested_at AS waiting,
       f.error, f.message, f.attempts, f.last_at AS failed_at
FROM radretrieval.image i
LEFT JOIN radretrieval.encoder e ON e.active
LEFT JOIN radretrieval.coding_failure f ON f.encoder_id = e.id AND f.image_id = i.id
WHERE NOT EXISTS (SELECT FROM radretrieval.cnnc c
                  WHERE c.encoder_id = (SELECT a.id FROM radretrieval.encoder a WHERE a.active) AND c.image_id = i.id);

CREATE OR REPLACE VIEW radretrieval.irma_class AS
SELECT c.irma_code, w.technique, w.direction, w.anatomy, w.biosystem, radretrieval.irma_known(c.irma_code) AS known,
       c.images, c.withdrawn, c.train, c.test, c.by_split
FROM (SELECT s.irma_code, sum(s.images)::bigint AS images, sum(s.withdrawn)::bigint AS withdrawn,
             coalesce(sum(s.images) FILTER (WHERE s.split = 'train'), 0)::bigint AS train,
             coalesce(sum(s.images) FILTER (WHERE s.split = 'test'), 0)::bigint AS test,
             jsonb_object_agg(s.split, s.images) AS by_split
      FROM (SELECT i.irma_code, coalesce(i.split, '') AS split, count(*) AS images, count(*) FILTER (WHERE i.withdrawn) AS withdrawn
            FROM radretrieval.image i WHERE i.irma_code IS NOT NULL GROUP BY 1, 2) s
      GROUP BY s.irma_code) c
LEFT JOIN LATERAL radretrieval.irma_words(c.irma_code) w ON true;

-- security_invoker: who reads it needs the right to read feedback and image.
CREATE OR REPLACE VIEW radretrieval.feedback_by_class WITH (security_invoker = true) AS
SELECT f.encoder_id, coalesce(q.irma_code, u.irma_code) AS query_irma_code, h.irma_code AS hit_irma_code,
       count(*) FILTER (WHERE f.relevant) AS relevant, count(*) FILTER (WHERE NOT f.relevant) AS not_relevant,
       count(DISTINCT f.who) AS users
FROM radretrieval.feedback f
JOIN radretrieval.image h ON h.id = f.hit_image_id
LEFT JOIN radretrieval.image q ON q.id = f.query_image_id
LEFT JOIN radretrieval.image u ON u.sha256 = f.query_sha256 AND u.frame = 1
GROUP BY f.encoder_id, coalesce(q.irma_code, u.irma_code), h.irma_code;

COMMENT ON COLUMN radretrieval.irma_class.images IS 'How many images have the code, withdrawn ones included.';

DROP VIEW IF EXISTS radretrieval.image_decoded;

-- Replaced, not dropped: views of the hospital's own may stand on it. A new column comes last.
CREATE OR REPLACE VIEW radretrieval.image_decoded AS
SELECT i.id, i.sha256, i.uri, i.format, i.rows, i.columns, i.bits_stored, i.photometric, i.modality, i.body_part,
       i.view_position, i.laterality, i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid, i.patient_key,
       i.irma_code, i.split, i.ingested_at, w.technique, w.direction, w.anatomy, w.biosystem, i.withdrawn
FROM radretrieval.image i LEFT JOIN LATERAL radretrieval.irma_words(i.irma_code) w ON true;

COMMENT ON VIEW radretrieval.image_decoded IS 'Each image with its IRMA code in words.';
COMMENT ON COLUMN radretrieval.image_decoded.id IS
    'Number of the image, in the order of ingestion; what searches and all other tables name it by.';
COMMENT ON COLUMN radretrieval.image_decoded.sha256 IS
    'SHA-256 of the file, 32 bytes: a file is known by its content, wherever it lies.';
COMMENT ON COLUMN radretrieval.image_decoded.uri IS 'Where the file was seen last: file:///…, file:hidden/… with its path encrypted, store:… or http(s)://….';
COMMENT ON COLUMN radretrieval.image_decoded.format IS 'What kind of file it is: png, jpeg, tiff or dicom.';
COMMENT ON COLUMN radretrieval.image_decoded.rows IS 'Height in pixels.';
COMMENT ON COLUMN radretrieval.image_decoded.columns IS 'Width in pixels.';
COMMENT ON COLUMN radretrieval.image_decoded.bits_stored IS 'Bits of a grey value, 1 to 16.';
COMMENT ON COLUMN radretrieval.image_decoded.photometric IS
    'What the pixel values mean, in DICOM''s words: MONOCHROME1 (0 is white), MONOCHROME2 (0 is black), RGB, ….';
COMMENT ON COLUMN radretrieval.image_decoded.modality IS 'DICOM modality, as CR, DX or MG; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.body_part IS
    'Examined part of the body, in DICOM''s words, as CHEST; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.view_position IS
    'Direction of the view, in DICOM''s words, as PA or LL; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.laterality IS 'Side of a paired part of the body, R or L; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.image_decoded.sop_instance_uid IS
    'DICOM SOP Instance UID: the identity of the image beside its content; NULL of other files.';
COMMENT ON COLUMN radretrieval.image_decoded.series_instance_uid IS 'DICOM Series Instance UID; NULL of other files.';
COMMENT ON COLUMN radretrieval.image_decoded.study_instance_uid IS
    'DICOM Study Instance UID: one examination of a patient; NULL of other files.';
COMMENT ON COLUMN radretrieval.image_decoded.patient_key IS
    'Pseudonym of the patient, a keyed hash and never the identifier; NULL where the patient is not known.';
COMMENT ON COLUMN radretrieval.image_decoded.irma_code IS
    'IRMA code TTTT-DDD-AAA-BBB, the class of the image; NULL without a label.';
COMMENT ON COLUMN radretrieval.image_decoded.split IS
    'Which part of a data set the image belongs to, as train or test; NULL for none.';
COMMENT ON COLUMN radretrieval.image_decoded.ingested_at IS 'When the image came into the archive.';
COMMENT ON COLUMN radretrieval.image_decoded.withdrawn IS
    'Its label was taken back by its publisher: kept and searchable, left out of training and scores unless asked.';
COMMENT ON COLUMN radretrieval.image_decoded.technique IS 'Axis T of the IRMA code in words: how the image was made.';
COMMENT ON COLUMN radretrieval.image_decoded.direction IS 'Axis D of the IRMA code in words: from where it was taken.';
COMMENT ON COLUMN radretrieval.image_decoded.anatomy IS 'Axis A of the IRMA code in words: what part of the body it shows.';
COMMENT ON COLUMN radretrieval.image_decoded.biosystem IS
    'Axis B of the IRMA code in words: which system of the body was examined.';

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
WHERE i.hidden_at IS NULL
GROUP BY i.split, i.modality, i.body_part, i.irma_code;

COMMENT ON VIEW radretrieval.coverage IS
    'How far the active encoder has come: images of each split, modality, body part and IRMA code, and how many are coded. '
    'With no active encoder everything is pending. Images that are withdrawn from searches are not counted.';
COMMENT ON COLUMN radretrieval.coverage.split IS 'Split of the images; NULL for none.';
COMMENT ON COLUMN radretrieval.coverage.modality IS 'DICOM modality; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.coverage.body_part IS 'Examined part of the body; NULL where nobody told.';
COMMENT ON COLUMN radretrieval.coverage.irma_code IS 'Class of the images; NULL without a label.';
COMMENT ON COLUMN radretrieval.coverage.images IS 'How many images there are: coded and pending.';
COMMENT ON COLUMN radretrieval.coverage.coded IS 'How many have a code of the active encoder, and so can be found.';
COMMENT ON COLUMN radretrieval.coverage.barcoded IS 'How many have a barcode of its geometry, and so can be re-ranked.';
COMMENT ON COLUMN radretrieval.coverage.failed IS 'How many of the pending ones could not be coded when they were tried last.';
COMMENT ON COLUMN radretrieval.coverage.pending IS 'How many have no code of the active encoder.';

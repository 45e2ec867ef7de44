-- Replaced, not dropped: views of the hospital's own may stand on it. A new column comes last.
CREATE OR REPLACE VIEW radretrieval.image_decoded AS
SELECT i.id, i.sha256, i.uri, i.format, i.rows, i.columns, i.bits_stored, i.photometric, i.modality, i.body_part,
       i.view_position, i.laterality, i.sop_instance_uid, i.series_instance_uid, i.study_instance_uid, i.patient_key,
       i.irma_code, i.split, i.ingested_at, w.technique, w.direction, w.anatomy, w.biosystem, i.withdrawn
FROM radretrieval.image i LEFT JOIN LATERAL radretrieval.irma_words(i.irma_code) w ON true

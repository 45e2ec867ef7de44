CREATE OR REPLACE VIEW radretrieval.image_decoded AS
SELECT i.*, w.technique, w.direction, w.anatomy, w.biosystem
FROM radretrieval.image i LEFT JOIN LATERAL radretrieval.irma_words(i.irma_code) w ON true;

COMMENT ON VIEW radretrieval.image_decoded IS 'Each image with its IRMA code in words.';

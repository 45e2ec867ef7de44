-- security_invoker: who reads it needs the right to read feedback and image.
CREATE OR REPLACE VIEW radretrieval.feedback_by_class WITH (security_invoker = true) AS
SELECT f.encoder_id, coalesce(q.irma_code, u.irma_code) AS query_irma_code, h.irma_code AS hit_irma_code,
       count(*) FILTER (WHERE f.relevant) AS relevant, count(*) FILTER (WHERE NOT f.relevant) AS not_relevant,
       count(DISTINCT f.who) AS users
FROM radretrieval.feedback f
JOIN radretrieval.image h ON h.id = f.hit_image_id
LEFT JOIN radretrieval.image q ON q.id = f.query_image_id
LEFT JOIN radretrieval.image u ON u.sha256 = f.query_sha256 AND u.frame = 1
WHERE h.hidden_at IS NULL AND q.hidden_at IS NULL AND u.hidden_at IS NULL
GROUP BY f.encoder_id, coalesce(q.irma_code, u.irma_code), h.irma_code;

GRANT SELECT ON radretrieval.feedback_by_class TO PUBLIC;

COMMENT ON VIEW radretrieval.feedback_by_class IS
    'How many hits users called relevant and not relevant, for each encoder, class of the query and class of the hit. '
    'Opinions on images that are withdrawn from searches do not count.';
COMMENT ON COLUMN radretrieval.feedback_by_class.encoder_id IS 'Encoder that found the hits; NULL where it was deleted, or nobody told.';
COMMENT ON COLUMN radretrieval.feedback_by_class.query_irma_code IS
    'Class of the queries; NULL of those without a label, and of files that are no images of the archive.';
COMMENT ON COLUMN radretrieval.feedback_by_class.hit_irma_code IS 'Class of the hits; NULL without a label.';
COMMENT ON COLUMN radretrieval.feedback_by_class.relevant IS 'Opinions that a hit is relevant.';
COMMENT ON COLUMN radretrieval.feedback_by_class.not_relevant IS 'Opinions that a hit is not relevant.';
COMMENT ON COLUMN radretrieval.feedback_by_class.users IS 'How many users gave them.';

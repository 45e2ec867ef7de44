-- An IRMA code in words, axis by axis: the label of the longest prefix that has one.
CREATE FUNCTION radretrieval.irma_words(code text)
RETURNS TABLE (technique text, direction text, anatomy text, biosystem text)
LANGUAGE sql STABLE AS $$
    SELECT max(label) FILTER (WHERE axis = 'T'), max(label) FILTER (WHERE axis = 'D'),
           max(label) FILTER (WHERE axis = 'A'), max(label) FILTER (WHERE axis = 'B')
    FROM (
        SELECT DISTINCT ON (t.axis) t.axis, t.label
        FROM (VALUES ('T', split_part(code, '-', 1)), ('D', split_part(code, '-', 2)),
                     ('A', split_part(code, '-', 3)), ('B', split_part(code, '-', 4))) AS position (axis, digits)
        JOIN radretrieval.irma_term t ON t.axis = position.axis AND starts_with(position.digits, t.prefix)
        WHERE t.label <> ''
        ORDER BY t.axis, length(t.prefix) DESC
    ) AS longest
$$;

COMMENT ON FUNCTION radretrieval.irma_words(text) IS
    'The four axes of an IRMA code in words; NULL where no prefix of the axis has a term.';

CREATE VIEW radretrieval.image_decoded AS
SELECT i.*, w.technique, w.direction, w.anatomy, w.biosystem
FROM radretrieval.image i LEFT JOIN LATERAL radretrieval.irma_words(i.irma_code) w ON true;

COMMENT ON VIEW radretrieval.image_decoded IS 'Each image with its IRMA code in words.';

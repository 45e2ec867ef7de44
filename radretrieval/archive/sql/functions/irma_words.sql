-- An IRMA code in words, axis by axis, from the widest term to the narrowest; equal to radretrieval.irma.tree.describe.
CREATE OR REPLACE FUNCTION radretrieval.irma_words(code text)
RETURNS TABLE (technique text, direction text, anatomy text, biosystem text)
LANGUAGE sql STABLE AS $$
    WITH place (axis, digits) AS (
        VALUES ('T', split_part(code, '-', 1)), ('D', split_part(code, '-', 2)),
               ('A', split_part(code, '-', 3)), ('B', split_part(code, '-', 4))
    ), term AS (
        SELECT place.axis, t.prefix, t.label,
               lead(t.label, 1, '') OVER (PARTITION BY place.axis ORDER BY length(t.prefix)) AS next_label
        FROM place JOIN radretrieval.irma_term t ON t.axis = place.axis AND starts_with(place.digits, t.prefix)
        WHERE t.prefix <> '' AND t.label NOT IN ('', 'unspecified')
    ), phrase AS (
        SELECT place.axis,
               CASE WHEN place.digits = 'ccc' OR (place.axis <> 'B' AND starts_with(place.digits, 'c')) THEN 'clutter'
                    ELSE coalesce((SELECT string_agg(label, ' / ' ORDER BY length(prefix)) FROM term
                                   WHERE term.axis = place.axis AND strpos(next_label, label) = 0), 'unspecified')
               END AS words
        FROM place
    )
    SELECT max(words) FILTER (WHERE axis = 'T'), max(words) FILTER (WHERE axis = 'D'),
           max(words) FILTER (WHERE axis = 'A'), max(words) FILTER (WHERE axis = 'B')
    FROM phrase WHERE code IS NOT NULL
$$;

COMMENT ON FUNCTION radretrieval.irma_words(text) IS
    'The four axes of an IRMA code in words, from the widest term to the narrowest; NULL for no code.';

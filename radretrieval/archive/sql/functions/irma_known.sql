CREATE OR REPLACE FUNCTION radretrieval.irma_known(code text) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT bool_and(place.digits = 'ccc' OR (place.axis <> 'B' AND starts_with(place.digits, 'c')) OR (
        -- the deepest node on the way: it is the last character, or has no children and only zeros follow
        SELECT length(t.prefix) = length(place.digits)
               OR (t.children = 0 AND ltrim(substr(place.digits, length(t.prefix) + 1), '0') = '')
        FROM radretrieval.irma_term t WHERE t.axis = place.axis AND starts_with(place.digits, t.prefix)
        ORDER BY length(t.prefix) DESC LIMIT 1))
    FROM string_to_table(radretrieval.irma_normalise(code), '-') WITH ORDINALITY part (digits, n),
         LATERAL (SELECT substr('TDAB', n::int, 1) AS axis, digits) place
$$;

COMMENT ON FUNCTION radretrieval.irma_known(text) IS
    'Whether the official tree has a code; equal to radretrieval.irma.tree.known. An error for what is no code.';

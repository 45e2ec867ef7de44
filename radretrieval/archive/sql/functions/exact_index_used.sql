CREATE OR REPLACE FUNCTION radretrieval.exact_index_used(encoder integer) RETURNS integer
LANGUAGE sql STABLE SET search_path = radretrieval, public, pg_temp AS $$
    SELECT i.id FROM exact_index i JOIN exact_anchor a ON a.index_id = i.id
    WHERE i.id = exact_of(exact_index_used.encoder)
    GROUP BY i.id HAVING sum(a.codes) >= (SELECT c.index_from FROM search_constants() c)
$$;

COMMENT ON FUNCTION radretrieval.exact_index_used(integer) IS
    'The exact index (exact_index.id) of an encoder''s codes where it has enough of them to be used; NULL otherwise. For '
    'near_duplicates and fill_neighbours.';

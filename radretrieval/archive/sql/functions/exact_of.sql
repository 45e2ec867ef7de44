CREATE OR REPLACE FUNCTION radretrieval.exact_of(encoder integer) RETURNS integer
LANGUAGE sql STABLE SET search_path = radretrieval, public, pg_temp AS $$
    SELECT i.id FROM exact_index i WHERE i.encoder_id = exact_of.encoder AND i.live AND exact_kept(i.id)
$$;

COMMENT ON FUNCTION radretrieval.exact_of(integer) IS
    'The exact index (exact_index.id) of an encoder''s codes; NULL where there is none that has every code.';

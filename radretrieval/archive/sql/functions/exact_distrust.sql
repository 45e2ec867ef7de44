-- A version that brings more triggers judges by those that were there before.
CREATE OR REPLACE FUNCTION radretrieval.exact_distrust() RETURNS void
LANGUAGE sql SET search_path = radretrieval, public, pg_temp AS $$
    UPDATE exact_index x SET bypassed = true
    WHERE NOT x.bypassed AND NOT exact_followed(x.encoder_id, (
        SELECT sum(CASE WHEN s.name ~ '^cnnc\.' THEN 2 ELSE 1 END)::integer FROM schema_object s
        WHERE s.kind = 'trigger' AND s.name ~ '\.exact_'))
$$;

COMMENT ON FUNCTION radretrieval.exact_distrust() IS
    'Marks the exact indexes whose triggers were disabled or missing, before db upgrade puts the triggers right.';

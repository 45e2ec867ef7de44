CREATE OR REPLACE FUNCTION radretrieval.encoder_number(encoder integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    known CONSTANT text := (SELECT string_agg(e.id::text, ', ' ORDER BY e.id) FROM encoder e);
BEGIN
    IF known IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the archive has no encoder yet; run: radretrieval train, then: radretrieval work --once';
    ELSIF number IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'no encoder is active; name one (' || known || ') or run: radretrieval encoder activate ID';
    ELSIF NOT EXISTS (SELECT FROM encoder e WHERE e.id = number) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the archive has no encoder ' || number || '; it has: ' || known,
            HINT = 'The table radretrieval.encoder lists them; without a number the active one is meant.';
    END IF;
    RETURN number;
END
$$;

COMMENT ON FUNCTION radretrieval.encoder_number(integer) IS
    'The encoder that is meant: the given one, or the active one for NULL. An error that names those there are for an '
    'unknown one.';

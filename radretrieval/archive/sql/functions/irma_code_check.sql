-- A CHECK that says what is legal: the name of a constraint alone does not help who meets it.
CREATE OR REPLACE FUNCTION radretrieval.irma_code_check(code text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF radretrieval.irma_normalise(code) COLLATE "C" <> code THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'the IRMA code ' || quote_literal(code)
            || ' must be stored in its written form, ' || radretrieval.irma_normalise(code)
            || ': radretrieval.irma_normalise() gives it';
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION radretrieval.irma_code_check(text) IS
    'True for an IRMA code as it is stored, TTTT-DDD-AAA-BBB; an error that says what is legal for anything else.';

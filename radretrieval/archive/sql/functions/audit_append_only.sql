CREATE OR REPLACE FUNCTION radretrieval.audit_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'rows of radretrieval.audit are not changed or deleted',
        HINT = 'radretrieval audit prune drops old months.';
END
$$;

COMMENT ON FUNCTION radretrieval.audit_append_only() IS 'Refuses to change or delete rows of audit, for its trigger.';

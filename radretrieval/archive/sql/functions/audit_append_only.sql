CREATE OR REPLACE FUNCTION radretrieval.audit_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'rows of radretrieval.audit are not changed or deleted',
        HINT = 'Who owns the table may: ALTER TABLE radretrieval.audit DISABLE TRIGGER append_only, and ENABLE it afterwards.';
END
$$;

COMMENT ON FUNCTION radretrieval.audit_append_only() IS 'Refuses to change or delete rows of audit, for its trigger.';

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON radretrieval.audit
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.audit_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON radretrieval.audit
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.audit_append_only();

-- and on the partitions that there are: statements that name one fire its own triggers
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits i WHERE i.inhparent = 'radretrieval.audit'::regclass LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
                       'FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.audit_append_only()', part);
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER append_only', part);
    END LOOP;
END
$$;

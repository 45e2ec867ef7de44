-- ATTACH takes SHARE UPDATE EXCLUSIVE on audit, which neither readers nor writers of it wait for; CREATE TABLE … PARTITION OF would
-- take ACCESS EXCLUSIVE. Called under the lock of audit_head, so that two sessions do not make the same one.
CREATE OR REPLACE FUNCTION radretrieval.audit_partition(moment timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    begun CONSTANT timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    made CONSTANT text := 'audit_' || to_char(begun, 'YYYY_MM');
BEGIN
    IF EXISTS (SELECT FROM pg_class c WHERE c.relname = made AND c.relnamespace = 'radretrieval'::regnamespace) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE radretrieval.%I (LIKE radretrieval.audit INCLUDING ALL)', made);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON radretrieval.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.audit_append_only()', made);
    EXECUTE format('ALTER TABLE radretrieval.audit ATTACH PARTITION radretrieval.%I FOR VALUES FROM (%L) TO (%L)', made,
                   begun AT TIME ZONE 'UTC', (begun + interval '1 month') AT TIME ZONE 'UTC');
END
$$;

COMMENT ON FUNCTION radretrieval.audit_partition(timestamptz) IS
    'Makes the partition of audit for the month, in UTC, that this moment lies in, with its trigger, unless there is one.';

REVOKE ALL ON FUNCTION radretrieval.audit_partition(timestamptz) FROM PUBLIC;

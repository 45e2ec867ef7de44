-- Statement triggers are ENABLE ALWAYS, those of rows ENABLE REPLICA: the apply worker of logical replication fires no others.
-- ALTER TABLE ... ENABLE TRIGGER, as after pg_restore --disable-triggers, sets neither: it leaves a trace.
-- They are twelve: five of cnnc, on it and on the partition, and two of image.
CREATE OR REPLACE FUNCTION radretrieval.exact_followed(encoder integer, triggers integer DEFAULT 12) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    codes CONSTANT oid := to_regclass('radretrieval.cnnc_' || encoder);
BEGIN
    RETURN triggers <= (
            SELECT count(*) FROM pg_catalog.pg_trigger t
            WHERE t.tgrelid IN ('radretrieval.cnnc'::regclass, 'radretrieval.image'::regclass, codes)
              AND t.tgname BETWEEN 'exact_' AND 'exact_z' AND t.tgenabled = CASE t.tgtype & 1 WHEN 1 THEN 'R' ELSE 'A' END);
END
$$;

COMMENT ON FUNCTION radretrieval.exact_followed(integer, integer) IS
    'Whether so many triggers keep the exact index of an encoder true, without those that were disabled since db upgrade made '
    'them.';

-- A subscription that brings the indexes brings their rows too, and would meet those that were put here. One of its indexes
-- whose rows it does not bring, as before ALTER SUBSCRIPTION ... REFRESH PUBLICATION, is marked: nothing follows for it.
CREATE OR REPLACE FUNCTION radretrieval.exact_applies() RETURNS boolean
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    IF current_setting('session_replication_role') <> 'replica' THEN
        RETURN false;
    END IF;
    PERFORM exact_writer_sees();
    IF exact_subscribed('exact_index') THEN
        UPDATE exact_index x SET bypassed = true WHERE x.live AND NOT x.bypassed AND NOT exact_subscribed('exact_' || x.id);
        RETURN false;
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_applies() IS
    'Whether triggers of rows are to keep the exact indexes true: in the replica role, where no subscription brings the indexes.';

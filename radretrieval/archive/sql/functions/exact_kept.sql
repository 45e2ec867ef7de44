CREATE OR REPLACE FUNCTION radretrieval.exact_kept(index_id integer, codes integer DEFAULT 0) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    encoder CONSTANT integer := (SELECT x.encoder_id FROM exact_index x WHERE x.id = exact_kept.index_id AND NOT x.bypassed);
    whole boolean;
BEGIN
    IF encoder IS NULL OR NOT exact_followed(encoder) OR to_regclass('radretrieval.exact_' || index_id) IS NULL THEN
        RETURN false;
    ELSIF EXISTS (SELECT FROM pg_subscription_rel) AND exact_subscribed('exact_index') <> exact_subscribed('exact_' || index_id)
    THEN  -- a subscription brings either the indexes with their rows, or neither
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', 'exact_' || index_id) INTO whole;
    IF NOT whole THEN  -- a dump without the data of the table leaves it so, as it is before logical replication copies it
        EXECUTE format('SELECT count(*) <= $1 FROM (SELECT FROM %I LIMIT $1 + 1) c', 'cnnc_' || encoder)
            INTO whole USING codes;
    END IF;
    RETURN whole;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_kept(integer, integer) IS
    'Whether an exact index has every code: its table was not emptied, and no code or label was written that it did not '
    'follow. codes: how many of the codes were written just now, and are put into it after this.';

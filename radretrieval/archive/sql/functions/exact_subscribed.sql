CREATE OR REPLACE FUNCTION radretrieval.exact_subscribed(name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = radretrieval, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = to_regclass('radretrieval.' || name))
$$;

COMMENT ON FUNCTION radretrieval.exact_subscribed(text) IS
    'Whether a subscription of logical replication writes this table of the schema.';

-- The update of the one row of audit_head is the lock by which rows are chained one after the other. It is held until the transaction
-- ends: who writes calls this last in it, and a session that then does nothing is ended after ten seconds.
CREATE OR REPLACE FUNCTION radretrieval.audit_add(who text, action text, detail jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    called CONSTANT timestamptz := clock_timestamp();
    number bigint;
    moment timestamptz;
    chained bytea;
    patience text;
BEGIN
    -- assignments and one expression at a time: PERFORM, and each function that an expression has, take a call's time
    IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
        patience := set_config('idle_in_transaction_session_timeout', '10s', true);
    ELSIF current_setting('idle_in_transaction_session_timeout')::interval > '10s' THEN
        patience := set_config('idle_in_transaction_session_timeout', '10s', true);
    END IF;
    LOOP
        UPDATE radretrieval.audit_head h SET last_id = h.last_id + 1, at = greatest(called, h.at),
            hash = radretrieval.audit_hash(h.hash, h.last_id + 1, greatest(called, h.at), audit_add.who, session_user::text,
                                           audit_add.action, audit_add.detail)
        RETURNING h.last_id, h.at, h.hash INTO number, moment, chained;
        EXIT WHEN FOUND;
        -- an archive that was restored, or replicated, without this row
        INSERT INTO radretrieval.audit_head (last_id, at, hash)
        SELECT a.id, a.at, a.hash FROM radretrieval.audit a UNION ALL SELECT 0, 'epoch', '' ORDER BY 1 DESC LIMIT 1
        ON CONFLICT DO NOTHING;
    END LOOP;
    IF to_regclass(to_char(moment AT TIME ZONE 'UTC', '"radretrieval.audit_"YYYY_MM')) IS NULL THEN
        PERFORM radretrieval.audit_partition(moment);
    END IF;
    INSERT INTO radretrieval.audit (id, at, who, db_role, action, detail, hash)
    VALUES (number, moment, audit_add.who, session_user, audit_add.action, audit_add.detail, chained);
    RETURN number;
END
$$;

COMMENT ON FUNCTION radretrieval.audit_add(text, text, jsonb) IS
    'Adds a row to audit, the only way to do so, and gives its number. To be called last in a transaction: until that ends, nobody '
    'else adds one.';

REVOKE ALL ON FUNCTION radretrieval.audit_add(text, text, jsonb) FROM PUBLIC;

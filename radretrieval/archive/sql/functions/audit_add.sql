-- The update of the one row of audit_head is the lock by which rows are chained one after the other. It is held until the transaction
-- ends: who writes calls this last in it, and a session that then does nothing is ended after ten seconds.
CREATE OR REPLACE FUNCTION radretrieval.audit_add(who text, action text, detail jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    head radretrieval.audit_head;
    patience CONSTANT text := current_setting('idle_in_transaction_session_timeout');
BEGIN
    IF patience = '0' OR patience::interval > '10s' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
    END IF;
    LOOP
        UPDATE radretrieval.audit_head h SET (last_id, at, hash) = (
            SELECT n.id, n.at, radretrieval.audit_hash(h.hash, n.id, n.at, audit_add.who, session_user::text, audit_add.action,
                                                       audit_add.detail)
            FROM (SELECT h.last_id + 1 AS id, greatest(clock_timestamp(), h.at) AS at) n)
        RETURNING h.* INTO head;
        EXIT WHEN FOUND;
        -- an archive that was restored, or replicated, without this row
        INSERT INTO radretrieval.audit_head (last_id, at, hash)
        SELECT a.id, a.at, a.hash FROM radretrieval.audit a UNION ALL SELECT 0, 'epoch', '' ORDER BY 1 DESC LIMIT 1
        ON CONFLICT DO NOTHING;
    END LOOP;
    IF to_regclass('radretrieval.audit_' || to_char(head.at AT TIME ZONE 'UTC', 'YYYY_MM')) IS NULL THEN
        PERFORM radretrieval.audit_partition(head.at);
    END IF;
    INSERT INTO radretrieval.audit (id, at, who, db_role, action, detail, hash)
    VALUES (head.last_id, head.at, audit_add.who, session_user, audit_add.action, audit_add.detail, head.hash);
    RETURN head.last_id;
END
$$;

COMMENT ON FUNCTION radretrieval.audit_add(text, text, jsonb) IS
    'Adds a row to audit, the only way to do so, and gives its number. To be called last in a transaction: until that ends, nobody '
    'else adds one.';

REVOKE ALL ON FUNCTION radretrieval.audit_add(text, text, jsonb) FROM PUBLIC;

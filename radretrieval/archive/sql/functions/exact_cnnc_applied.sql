-- The same as exact_cnnc_changed, row by row: for rows that logical replication applies, and for sessions with
-- session_replication_role = replica. An index that has the image already gets its row anew.
CREATE OR REPLACE FUNCTION radretrieval.exact_cnnc_applied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp SET jit = off AS $$
DECLARE
    x record;
BEGIN
    IF NOT exact_applies() THEN
        RETURN NULL;
    END IF;
    FOR x IN SELECT i.id, i.encoder_id, i.live FROM exact_index i WHERE NOT i.bypassed ORDER BY i.id LOOP
        IF x.live AND NOT exact_kept(x.id, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE 0 END) THEN
            UPDATE exact_index i SET bypassed = true WHERE i.id = x.id;
            CONTINUE;
        END IF;
        IF TG_OP <> 'INSERT' AND OLD.encoder_id = x.encoder_id THEN
            IF x.live THEN
                EXECUTE format('DELETE FROM %I e WHERE e.image_id = $1', 'exact_' || x.id) USING OLD.image_id;
            ELSE
                INSERT INTO exact_touched (index_id, image_id) VALUES (x.id, OLD.image_id);
            END IF;
        END IF;
        CONTINUE WHEN TG_OP = 'DELETE';  -- then there is no NEW
        CONTINUE WHEN NEW.encoder_id <> x.encoder_id;
        IF NOT x.live THEN
            INSERT INTO exact_touched (index_id, image_id) VALUES (x.id, NEW.image_id);
            CONTINUE;
        END IF;
        PERFORM FROM image i WHERE i.id = NEW.image_id FOR SHARE;
        IF NOT FOUND THEN  -- no foreign key is checked here: the image may come later, or never
            UPDATE exact_index i SET bypassed = true WHERE i.id = x.id;
            CONTINUE;
        END IF;
        EXECUTE format('DELETE FROM %I e WHERE e.image_id = $1', 'exact_' || x.id) USING NEW.image_id;
        PERFORM exact_put_one(x.id, NEW.image_id, NEW.code, NULL);
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_cnnc_applied() IS
    'Keeps the exact indexes true to codes that logical replication applies, in the applying transaction.';

-- it runs with the owner's rights: else anyone could call it by a trigger of their own on a temporary table
REVOKE ALL ON FUNCTION radretrieval.exact_cnnc_applied() FROM PUBLIC;

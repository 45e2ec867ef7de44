DROP FUNCTION IF EXISTS radretrieval.exact_not_put(integer, bigint[], bigint);  -- up to revision 0007

-- Keeps the exact indexes true to the codes. A live index is changed in the writing transaction; for one that is being
-- built the ids are noted in exact_touched, and its builder looks at them again before it goes live.
CREATE OR REPLACE FUNCTION radretrieval.exact_cnnc_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp SET jit = off AS $$
DECLARE
    x record;
    -- what a writer that knows the anchors may set beforehand, for this transaction: 'index {image ids} {anchors}'
    said text[] := string_to_array(nullif(current_setting('radretrieval.anchors', true), ''), ' ');
    come bigint[];
    one record;
    labels record;
    source CONSTANT text := 'SELECT a.image_id, a.code, f.facet_id, h.hint FROM after a'
        ' JOIN unnest($4, $5) f (image_id, facet_id) ON f.image_id = a.image_id'
        ' LEFT JOIN unnest($2, $3) h (image_id, hint) ON h.image_id = a.image_id WHERE a.encoder_id = $1';
    placed bigint;
    wider jsonb;
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN  -- exact_cnnc_applied does it, row by row
        RETURN NULL;
    END IF;
    PERFORM exact_writer_sees();
    FOR x IN SELECT i.id, i.encoder_id, i.live FROM exact_index i WHERE NOT i.bypassed ORDER BY i.id LOOP
        come := NULL;
        IF TG_OP <> 'DELETE' THEN  -- then there is no table `after` to name
            SELECT array_agg(a.image_id) INTO come FROM after a WHERE a.encoder_id = x.encoder_id;
        END IF;
        IF TG_OP = 'INSERT' THEN
            CONTINUE WHEN come IS NULL;
        ELSE
            CONTINUE WHEN come IS NULL AND NOT EXISTS (SELECT FROM before b WHERE b.encoder_id = x.encoder_id);
        END IF;
        IF x.live AND NOT exact_kept(x.id, CASE TG_OP WHEN 'INSERT' THEN cardinality(come) ELSE 0 END) THEN
            UPDATE exact_index i SET bypassed = true WHERE i.id = x.id;
            CONTINUE;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            IF x.live THEN
                EXECUTE format('DELETE FROM %I e USING before b WHERE e.image_id = b.image_id AND b.encoder_id = $1',
                               'exact_' || x.id) USING x.encoder_id;
            ELSE
                INSERT INTO exact_touched (index_id, image_id)
                SELECT x.id, b.image_id FROM before b WHERE b.encoder_id = x.encoder_id;
            END IF;
        END IF;
        CONTINUE WHEN come IS NULL;
        IF NOT x.live THEN
            INSERT INTO exact_touched (index_id, image_id) SELECT x.id, u FROM unnest(come) u;
            CONTINUE;
        END IF;
        IF cardinality(come) = 1 THEN
            SELECT a.image_id, a.code INTO one FROM after a WHERE a.encoder_id = x.encoder_id;
            PERFORM exact_put_one(x.id, one.image_id, one.code,
                                  CASE WHEN said[1] = x.id::text AND said[2] = '{' || one.image_id || '}'
                                       THEN (said[3]::integer[])[1] END);
            CONTINUE;
        ELSIF said[1] IS DISTINCT FROM x.id::text THEN
            said[2] := '{}';
            said[3] := '{}';
        END IF;
        labels := exact_labels(come);  -- before any row of the index: who waits for a facet holds no anchor
        EXECUTE exact_put_statement(x.id, source)
            INTO placed, wider USING x.encoder_id, said[2]::bigint[], said[3]::integer[], labels.ids, labels.facets;
        PERFORM exact_none_missing(x.id, cardinality(come) - placed);
        IF wider IS NOT NULL THEN
            PERFORM exact_widen(x.id, wider);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_cnnc_changed() IS
    'Keeps the exact indexes true to the codes, whoever writes them, in the writing transaction.';

-- it runs with the owner's rights: else anyone could call it by a trigger of their own on a temporary table
REVOKE ALL ON FUNCTION radretrieval.exact_cnnc_changed() FROM PUBLIC;

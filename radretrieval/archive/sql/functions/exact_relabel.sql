CREATE OR REPLACE FUNCTION radretrieval.exact_relabel(changed bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    x record;
BEGIN
    IF NOT EXISTS (SELECT FROM exact_index) THEN
        RETURN;
    END IF;
    PERFORM exact_facets(changed);
    FOR x IN SELECT i.id, i.live FROM exact_index i WHERE NOT i.bypassed ORDER BY i.id LOOP
        IF NOT x.live THEN
            INSERT INTO exact_touched (index_id, image_id) SELECT x.id, u FROM unnest(changed) u;
            CONTINUE;
        ELSIF NOT exact_kept(x.id) THEN
            UPDATE exact_index i SET bypassed = true WHERE i.id = x.id;
            CONTINUE;
        END IF;
        EXECUTE format($sql$
            WITH moved AS (
                UPDATE %1$I e SET facet_id = t.id FROM image_facet i NATURAL JOIN facet t
                WHERE i.image_id = ANY ($1) AND e.image_id = i.image_id
                RETURNING e.facet_id, e.key)
            INSERT INTO exact_cell (index_id, facet_id, anchor, codes)
            SELECT %2$L::int, m.facet_id, m.key >> 10, count(*) FROM moved m
            WHERE NOT EXISTS (SELECT FROM exact_cell c
                              WHERE c.index_id = %2$L AND c.facet_id = m.facet_id AND c.anchor = m.key >> 10)
            GROUP BY 2, 3 ORDER BY 2, 3
            ON CONFLICT DO NOTHING
            $sql$, 'exact_' || x.id, x.id) USING changed;
    END LOOP;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_relabel(bigint[]) IS
    'Gives these images, in every exact index, the facets that they have now. For the triggers of image.';

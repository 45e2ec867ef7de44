CREATE OR REPLACE FUNCTION radretrieval.exact_image_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    x record;
    changed bigint[];
BEGIN
    SELECT array_agg(a.id) INTO changed FROM after a JOIN before b ON b.id = a.id
    WHERE (a.format, a.photometric, a.modality, a.body_part, a.view_position, a.laterality, a.irma_code, a.split, a.withdrawn)
        IS DISTINCT FROM
          (b.format, b.photometric, b.modality, b.body_part, b.view_position, b.laterality, b.irma_code, b.split, b.withdrawn);
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM exact_writer_sees();
    IF NOT EXISTS (SELECT FROM exact_index) THEN
        RETURN NULL;
    END IF;
    PERFORM exact_facets(changed);
    FOR x IN SELECT i.id, i.live FROM exact_index i ORDER BY i.id LOOP
        IF NOT x.live THEN
            INSERT INTO exact_touched (index_id, image_id) SELECT x.id, u FROM unnest(changed) u;
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
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_image_changed() IS
    'Keeps the facets in the exact indexes true to the labels of the images, in the labelling transaction.';

-- One code without exact_put_statement(), whose planning would take longer than everything else.
CREATE OR REPLACE FUNCTION radretrieval.exact_put_one(index_id integer, new_image bigint, new_code bit, hint integer)
RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    near record;
    around record;
    facet integer;
BEGIN
    FOR try IN 1 .. 2 LOOP  -- as exact_labels() does it for many
        SELECT t.id INTO facet
        FROM (SELECT * FROM image_facet i WHERE i.image_id = new_image FOR SHARE) l NATURAL JOIN facet t;
        EXIT WHEN FOUND;
        PERFORM exact_facets(ARRAY[new_image]);
    END LOOP;
    IF hint IS NULL THEN
        hint := exact_anchor_near(index_id, new_code);
    END IF;
    SELECT a.anchor, a.nearest, a.farthest, (a.code <~> new_code)::int AS distance INTO near FROM exact_anchor a
    WHERE a.index_id = exact_put_one.index_id AND a.anchor = hint;
    PERFORM exact_none_missing(index_id, CASE WHEN facet IS NULL OR near.anchor IS NULL THEN 1 ELSE 0 END);
    EXECUTE format('INSERT INTO %I (key, facet_id, image_id, code) VALUES ($1, $2, $3, $4)', 'exact_' || index_id)
        USING near.anchor * 1024 + near.distance, facet, new_image, new_code;
    IF NOT EXISTS (SELECT FROM exact_cell c
                   WHERE c.index_id = exact_put_one.index_id AND c.facet_id = facet AND c.anchor = near.anchor) THEN
        INSERT INTO exact_cell (index_id, facet_id, anchor, codes) VALUES (exact_put_one.index_id, facet, near.anchor, 1)
        ON CONFLICT DO NOTHING;
    END IF;
    SELECT g.reach, (g.code <~> new_code)::int AS away INTO around FROM exact_group g
    WHERE g.index_id = exact_put_one.index_id AND g.first <= near.anchor ORDER BY g.first DESC LIMIT 1;
    IF near.distance NOT BETWEEN near.nearest AND near.farthest OR around.away > around.reach THEN
        PERFORM exact_widen(index_id, jsonb_build_array(jsonb_build_object(
            'anchor', near.anchor, 'nearest', near.distance, 'farthest', near.distance, 'away', around.away)));
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_put_one(integer, bigint, bit, integer) IS
    'Puts one code into an exact index, with an anchor (NULL for the nearest). For its triggers.';

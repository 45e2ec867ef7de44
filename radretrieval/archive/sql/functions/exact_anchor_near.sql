-- The nearest anchor of the two nearest groups: hardly ever farther than the nearest of all, which any anchor could stand for.
CREATE OR REPLACE FUNCTION radretrieval.exact_anchor_near(index_id integer, code bit) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    near integer;
BEGIN
    SELECT a.anchor INTO near
    FROM (SELECT g.first, g.last FROM exact_group g WHERE g.index_id = exact_anchor_near.index_id
          ORDER BY g.code <~> exact_anchor_near.code, g.first LIMIT 2) g, LATERAL (
        SELECT a.anchor, a.code <~> exact_anchor_near.code AS distance FROM exact_anchor a
        WHERE a.index_id = exact_anchor_near.index_id AND a.anchor BETWEEN g.first AND g.last OFFSET 0) a
    ORDER BY a.distance, a.anchor LIMIT 1;
    IF near IS NULL THEN  -- an index that was built before there were groups
        SELECT a.anchor INTO near FROM exact_anchor a WHERE a.index_id = exact_anchor_near.index_id
        ORDER BY a.code <~> exact_anchor_near.code, a.anchor LIMIT 1;
    END IF;
    RETURN near;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_anchor_near(integer, bit) IS
    'An anchor of an exact index near to a code; NULL for an index without anchors. For its triggers.';

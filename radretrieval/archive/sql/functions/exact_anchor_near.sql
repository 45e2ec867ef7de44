-- The nearest anchor of the eight nearest groups: hardly ever farther than the nearest of all, which any anchor could stand
-- for. But a code farther from the middle of its group than any before makes searches look into that group from farther
-- away, as long as the index lasts: then the nearest of all is worth comparing with each.
CREATE OR REPLACE FUNCTION radretrieval.exact_anchor_near(index_id integer, code bit) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    near integer;
    within boolean;
BEGIN
    SELECT a.anchor, g.away <= g.reach INTO near, within
    FROM (SELECT g.first, g.last, g.reach, g.code <~> exact_anchor_near.code AS away FROM exact_group g
          WHERE g.index_id = exact_anchor_near.index_id ORDER BY away, g.first LIMIT 8) g, LATERAL (
        SELECT a.anchor, a.code <~> exact_anchor_near.code AS distance FROM exact_anchor a
        WHERE a.index_id = exact_anchor_near.index_id AND a.anchor BETWEEN g.first AND g.last OFFSET 0) a
    ORDER BY a.distance, a.anchor LIMIT 1;
    IF within IS NOT TRUE THEN  -- or an index that was built before there were groups
        SELECT a.anchor INTO near FROM exact_anchor a WHERE a.index_id = exact_anchor_near.index_id
        ORDER BY a.code <~> exact_anchor_near.code, a.anchor LIMIT 1;
    END IF;
    RETURN near;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_anchor_near(integer, bit) IS
    'An anchor of an exact index near to a code; NULL for an index without anchors. For its triggers.';

-- What remains after exact_put_statement(), in the same transaction as the rows.
CREATE OR REPLACE FUNCTION radretrieval.exact_widen(index_id integer, wider jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    -- all rows are locked in the order of their anchors first, so that two transactions that widen never deadlock
    PERFORM FROM exact_anchor a
    WHERE a.index_id = exact_widen.index_id
      AND a.anchor IN (SELECT (w ->> 'anchor')::int FROM jsonb_array_elements(wider) w)
    ORDER BY a.anchor FOR NO KEY UPDATE;
    UPDATE exact_anchor a SET nearest = least(a.nearest, w.nearest), farthest = greatest(a.farthest, w.farthest)
    FROM jsonb_to_recordset(wider) w (anchor int, nearest int, farthest int)
    WHERE a.index_id = exact_widen.index_id AND a.anchor = w.anchor;
    -- and their groups, in order, too
    PERFORM FROM exact_group g
    WHERE g.index_id = exact_widen.index_id AND EXISTS (
        SELECT FROM jsonb_array_elements(wider) w WHERE (w ->> 'anchor')::int BETWEEN g.first AND g.last)
    ORDER BY g.first FOR NO KEY UPDATE;
    UPDATE exact_group g SET reach = n.reach FROM (
        SELECT o.first, max(w.away) AS reach FROM jsonb_to_recordset(wider) w (anchor int, away int)
        JOIN exact_group o ON o.index_id = exact_widen.index_id AND w.anchor BETWEEN o.first AND o.last
        GROUP BY o.first) n
    WHERE g.index_id = exact_widen.index_id AND g.first = n.first AND g.reach < n.reach;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_widen(integer, jsonb) IS
    'Ends what exact_put_statement began: widens the bounds of anchors and their groups, in the same transaction as the rows.';

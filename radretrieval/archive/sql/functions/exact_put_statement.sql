-- The statement that inserts rows into an index, widens the bounds of their anchors and notes which facets a cell has.
-- `source` gives image_id, code and hint, and no other column; the anchor of a row is the one that its hint names, else
-- one that is near. Its distance is always measured here: any anchor will do, as long as the distance is the true one.
CREATE OR REPLACE FUNCTION radretrieval.exact_put_statement(index_id integer, source text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $function$
    SELECT format($$
        WITH fresh AS MATERIALIZED (%3$s),
        -- in two steps: the planner estimates a join on so many columns at one row, and would begin with it
        labelled AS MATERIALIZED (SELECT * FROM fresh f JOIN image_facet i USING (image_id)),
        known AS MATERIALIZED (SELECT l.image_id, l.code, l.hint, t.id AS facet_id FROM labelled l NATURAL JOIN facet t),
        placed AS (
            SELECT k.image_id, k.code, k.facet_id, a.anchor, (a.code <~> k.code)::int AS distance
            FROM (SELECT k.*, coalesce(k.hint, exact_anchor_near(%2$L, k.code)) AS near FROM known k OFFSET 0) k
            JOIN exact_anchor a ON a.index_id = %2$L AND a.anchor = k.near),
        put AS (
            INSERT INTO %1$I (key, facet_id, image_id, code)
            SELECT p.anchor * 1024 + p.distance, p.facet_id, p.image_id, p.code FROM placed p ORDER BY 1
            RETURNING key, facet_id),
        cell AS (
            INSERT INTO exact_cell (index_id, facet_id, anchor, codes)
            SELECT %2$L::int, p.facet_id, p.key >> 10, count(*) FROM put p
            WHERE NOT EXISTS (SELECT FROM exact_cell c
                              WHERE c.index_id = %2$L AND c.facet_id = p.facet_id AND c.anchor = p.key >> 10)
            GROUP BY 2, 3 ORDER BY 2, 3
            ON CONFLICT DO NOTHING),
        reach AS (
            SELECT p.key >> 10 AS anchor, min(p.key & 1023) AS nearest, max(p.key & 1023) AS farthest FROM put p GROUP BY 1)
        SELECT (SELECT count(*) FROM fresh) - (SELECT count(*) FROM put) AS missing,
               (SELECT jsonb_agg(r) FROM reach r JOIN exact_anchor a ON a.index_id = %2$L AND a.anchor = r.anchor
                WHERE r.nearest < a.nearest OR r.farthest > a.farthest) AS wider
        $$, 'exact_' || index_id, index_id, source)
$function$;

COMMENT ON FUNCTION radretrieval.exact_put_statement(integer, text) IS
    'The SQL that inserts codes into an exact index, for its triggers and for index build.';

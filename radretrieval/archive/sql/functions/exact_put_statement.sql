-- The statement that inserts rows into an index, notes which facets a cell has, and gives the bounds that must be widened.
-- `source` gives image_id, code, facet_id and hint, and no other column; the anchor of a row is the one that its hint names,
-- else one that is near. Its distance is always measured here: any anchor will do, as long as the distance is the true one.
CREATE OR REPLACE FUNCTION radretrieval.exact_put_statement(index_id integer, source text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $function$
    SELECT format($$
        WITH placed AS MATERIALIZED (
            SELECT f.image_id, f.code, f.facet_id, a.anchor, a.nearest, a.farthest, (a.code <~> f.code)::int AS distance,
                   g.reach, (g.code <~> f.code)::int AS away
            FROM (SELECT o.*, coalesce(o.hint, exact_anchor_near(%2$L, o.code)) AS near FROM (%3$s) o OFFSET 0) f
            JOIN exact_anchor a ON a.index_id = %2$L AND a.anchor = f.near
            LEFT JOIN LATERAL (
                SELECT g.reach, g.code FROM exact_group g WHERE g.index_id = %2$L AND g.first <= a.anchor
                ORDER BY g.first DESC LIMIT 1) g ON true),
        put AS (
            INSERT INTO %1$I (key, facet_id, image_id, code)
            SELECT p.anchor * 1024 + p.distance, p.facet_id, p.image_id, p.code FROM placed p ORDER BY 1),
        cell AS (
            INSERT INTO exact_cell (index_id, facet_id, anchor, codes)
            SELECT %2$L::int, p.facet_id, p.anchor, p.codes
            FROM (SELECT p.facet_id, p.anchor, count(*) AS codes FROM placed p GROUP BY 1, 2) p
            WHERE NOT EXISTS (SELECT FROM exact_cell c
                              WHERE c.index_id = %2$L AND c.facet_id = p.facet_id AND c.anchor = p.anchor OFFSET 0)
            ORDER BY 2, 3
            ON CONFLICT DO NOTHING),
        wider AS (
            SELECT p.anchor, min(p.distance) AS nearest, max(p.distance) AS farthest, max(p.away) AS away FROM placed p
            WHERE p.distance NOT BETWEEN p.nearest AND p.farthest OR p.away > p.reach GROUP BY 1)
        SELECT (SELECT count(*) FROM placed p) AS count, (SELECT jsonb_agg(w) FROM wider w) AS wider
        $$, 'exact_' || index_id, index_id, source)
$function$;

COMMENT ON FUNCTION radretrieval.exact_put_statement(integer, text) IS
    'The SQL that inserts codes into an exact index, for its triggers and for index build.';

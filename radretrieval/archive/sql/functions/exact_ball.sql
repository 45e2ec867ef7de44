-- The search by anchors, in one statement and so in one snapshot. tau is the distance of the k-th hit in the nearest
-- cells; every code within tau lies in a range of keys that is read, so that the k nearest, ties included, are found.
-- The OFFSET 0 are fences: without them the planner turns the nested loop round and reads the table for each range.
-- Gives nothing when more than `limit_rows` would have to be read: a scan is faster then.
CREATE OR REPLACE FUNCTION radretrieval.exact_ball(
    index_id integer, query bit, k integer, facets integer[], cells boolean, tests text, share double precision,
    not_images bigint[], most integer, limit_rows double precision)
RETURNS TABLE (image_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    constants record;
    probe CONSTANT text := CASE WHEN tests IS NULL THEN ''
                                ELSE ', LATERAL (SELECT FROM image i WHERE i.id = %I.image_id AND %s OFFSET 0) p' END;
    statement text;
BEGIN
    SELECT * INTO constants FROM search_constants();
    statement := format($$
        WITH cell AS MATERIALIZED (%3$s),
        a AS MATERIALIZED (
            SELECT a.anchor, a.nearest, a.farthest, a.codes, %5$s * $9 AS hits, (a.code <~> $1)::int AS dq
            FROM exact_anchor a %4$s WHERE a.index_id = %2$L),
        near AS MATERIALIZED (
            SELECT n.anchor FROM (
                SELECT m.anchor, sum(m.hits) OVER w - m.hits AS before, row_number() OVER w AS place
                FROM (SELECT a.anchor, a.hits, a.dq FROM a ORDER BY a.dq, a.anchor LIMIT $6) m
                WINDOW w AS (ORDER BY m.dq, m.anchor)) n
            WHERE n.before < $5 OR n.place <= $10),
        first AS MATERIALIZED (
            SELECT o.distance FROM (
                SELECT x.image_id, x.distance FROM near n, LATERAL (
                    SELECT e.image_id, (e.code <~> $1)::int AS distance FROM %1$I e
                    WHERE e.key BETWEEN n.anchor * 1024 AND n.anchor * 1024 + 1023 %6$s OFFSET 0) x
                ORDER BY x.distance OFFSET 0) o %7$s
            LIMIT $2),
        t AS MATERIALIZED (
            SELECT least(CASE WHEN count(*) = $2 THEN max(f.distance) ELSE 1000 END, $7) AS tau FROM first f),
        ranges AS MATERIALIZED (
            SELECT a.dq, a.anchor * 1024 + greatest(a.dq - t.tau, a.nearest) AS low,
                   a.anchor * 1024 + least(a.dq + t.tau, a.farthest) AS high, t.tau,
                   a.codes * (least(a.dq + t.tau, a.farthest) - greatest(a.dq - t.tau, a.nearest) + 1)::float8
                       / (a.farthest - a.nearest + 1) AS rows
            FROM t, a WHERE a.dq - t.tau <= a.farthest AND a.dq + t.tau >= a.nearest)
        SELECT h.image_id, h.distance FROM (
            SELECT x.image_id, x.distance FROM ranges r, LATERAL (
                SELECT e.image_id, (e.code <~> $1)::int AS distance FROM %1$I e
                WHERE e.key BETWEEN r.low AND r.high AND e.code <~> $1 <= r.tau %6$s OFFSET 0) x %8$s
            WHERE (SELECT coalesce(sum(s.rows), 0) FROM ranges s) <= $8
            ORDER BY x.distance FETCH FIRST ($2) ROWS WITH TIES) h
        ORDER BY h.distance, h.image_id LIMIT $2 + 10000
        $$,
        'exact_' || index_id,
        index_id,
        CASE WHEN cells THEN format('SELECT c.anchor, sum(c.codes) AS hits FROM exact_cell c WHERE c.index_id = %L'
                                    ' AND c.facet_id = ANY ($3) GROUP BY c.anchor', index_id) ELSE 'SELECT' END,
        CASE WHEN cells THEN 'JOIN cell USING (anchor)' ELSE '' END,
        CASE WHEN cells THEN 'cell.hits' ELSE 'a.codes' END,
        CASE WHEN facets IS NULL THEN '' ELSE 'AND e.facet_id = ANY ($3)' END
            || CASE WHEN not_images = '{}' THEN '' ELSE ' AND e.image_id <> ALL ($4)' END,
        format(probe, 'o', tests),
        format(probe, 'x', tests));
    RETURN QUERY EXECUTE statement
        USING query, k, facets, not_images,
              -- enough for a tau that is hardly ever too large, not so many that they cost more than that saves
              k * greatest(constants.sample_hits, constants.sample_hits_rare * sqrt(share)),
              greatest(constants.sample_cells_most, k / 4), most, limit_rows, share, constants.sample_cells;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_ball(
    integer, bit, integer, integer[], boolean, text, double precision, bigint[], integer, double precision) IS
    'The k nearest codes by an exact index, or nothing where a scan is faster; for cnnc_nearest.';

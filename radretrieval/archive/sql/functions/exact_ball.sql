-- The search by anchors, in one statement and so in one snapshot. tau is the distance of the k-th hit in the nearest
-- cells; every code within tau lies in a range of keys that is read, so that the k nearest, ties included, are found.
-- Anchors of groups that have no code within tau are not compared; an index that was built by a version before 0012 has no
-- groups, and where `cells` leaves most anchors out, they are not used. The OFFSET 0 are fences: without them the planner
-- turns the nested loop round and reads the table for each range. Gives nothing when more than `limit_rows` would have to
-- be read: a scan is faster then.
CREATE OR REPLACE FUNCTION radretrieval.exact_ball(
    index_id integer, query bit, k integer, facets integer[], cells boolean, tests text, share double precision,
    not_images bigint[], most integer, limit_rows double precision)
RETURNS TABLE (image_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    constants record;
    terms CONSTANT record := exact_terms(index_id);
    -- up to so many hits are wanted in the nearest cells
    need double precision;
    anchors text;
    reached text := '';
    probe CONSTANT text := CASE WHEN tests IS NULL THEN ''
                                ELSE ', LATERAL (SELECT FROM image i WHERE i.id = %I.image_id AND %s OFFSET 0) p' END;
    statement text;
BEGIN
    SELECT * INTO constants FROM search_constants();
    -- enough for a tau that is hardly ever too large, not so many that they cost more than that saves
    need := k * greatest(constants.sample_hits, constants.sample_hits_rare * sqrt(share));
    IF cells THEN
        anchors := $$
        cell AS MATERIALIZED (
            SELECT c.anchor, sum(c.codes) AS hits FROM exact_cell c
            WHERE c.index_id = %1$L AND c.facet_id = ANY ($3) GROUP BY c.anchor),
        a AS MATERIALIZED (
            SELECT a.anchor, a.nearest, a.farthest, a.codes, cell.hits * $9 AS hits, (a.code <~> $1)::int AS dq
            FROM exact_anchor a JOIN cell USING (anchor) WHERE a.index_id = %1$L),
        probe AS (SELECT * FROM a),$$;
    ELSIF NOT EXISTS (SELECT FROM exact_group g WHERE g.index_id = exact_ball.index_id) THEN
        anchors := $$
        a AS MATERIALIZED (
            SELECT a.anchor, a.nearest, a.farthest, a.codes, a.codes * $9 AS hits, (a.code <~> $1)::int AS dq
            FROM exact_anchor a WHERE a.index_id = %1$L),
        probe AS (SELECT * FROM a),$$;
    ELSE
        anchors := $$
        g AS MATERIALIZED (
            SELECT g.first, g.last, g.reach, (g.code <~> $1)::int AS dq FROM exact_group g WHERE g.index_id = %1$L),
        probe AS (
            SELECT a.* FROM (SELECT g.first, g.last FROM g ORDER BY g.dq, g.first LIMIT $11) n, LATERAL (
                SELECT a.anchor, a.codes * $9 AS hits, (a.code <~> $1)::int AS dq FROM exact_anchor a
                WHERE a.index_id = %1$L AND a.anchor BETWEEN n.first AND n.last OFFSET 0) a),$$;
        -- where some groups tell that far too many rows would have to be read, the others are not looked at
        reached := format($$
        estimate AS MATERIALIZED (
            SELECT %3$s * sum(%2$s) AS rows
            FROM t, g, LATERAL (%1$s) a
            WHERE mod(g.first, %3$s) = 0 AND 2 * t.tau > g.reach AND g.dq - t.tau <= g.reach
              AND a.dq - t.tau <= a.farthest AND a.dq + t.tau >= a.nearest),
        a AS (
            SELECT a.* FROM t, g, LATERAL (%1$s) a
            WHERE g.dq - t.tau <= g.reach AND coalesce((SELECT e.rows FROM estimate e), 0) <= %4$s * $8),$$,
            terms.anchors, terms.rows, constants.estimate_groups, constants.estimate_spare);
    END IF;
    statement := format($$
        WITH %2$s
        near AS MATERIALIZED (
            SELECT n.anchor FROM (
                SELECT m.anchor, sum(m.hits) OVER w - m.hits AS before, row_number() OVER w AS place
                FROM (SELECT p.anchor, p.hits, p.dq FROM probe p ORDER BY p.dq, p.anchor LIMIT $6) m
                WINDOW w AS (ORDER BY m.dq, m.anchor)) n
            WHERE n.before < $5 OR n.place <= $10),
        first AS MATERIALIZED (
            SELECT o.distance FROM (
                SELECT x.image_id, x.distance FROM near n, LATERAL (
                    SELECT e.image_id, e.code <~> $1 AS distance FROM %1$I e
                    WHERE e.key BETWEEN n.anchor * 1024 AND n.anchor * 1024 + 1023 %4$s OFFSET 0) x
                ORDER BY x.distance OFFSET 0) o %5$s
            LIMIT $2),
        t AS MATERIALIZED (
            SELECT least(CASE WHEN count(*) = $2 THEN max(f.distance)::int ELSE 1000 END, $7) AS tau FROM first f),
        %3$s
        ranges AS MATERIALIZED (
            SELECT a.anchor * 1024 + greatest(a.dq - t.tau, a.nearest) AS low,
                   a.anchor * 1024 + least(a.dq + t.tau, a.farthest) AS high, t.tau::float8 AS tau,
                   %7$s AS rows
            FROM t, a WHERE a.dq - t.tau <= a.farthest AND a.dq + t.tau >= a.nearest)
        SELECT h.image_id, h.distance::int FROM (
            SELECT x.image_id, x.distance FROM ranges r, LATERAL (
                SELECT e.image_id, e.code <~> $1 AS distance FROM %1$I e
                WHERE e.key BETWEEN r.low AND r.high AND e.code <~> $1 <= r.tau %4$s OFFSET 0) x %6$s
            WHERE (SELECT coalesce(sum(s.rows), 0) FROM ranges s) <= $8
            ORDER BY x.distance FETCH FIRST ($2) ROWS WITH TIES) h
        ORDER BY h.distance, h.image_id LIMIT $2 + 10000
        $$,
        'exact_' || index_id,
        format(anchors, index_id),
        reached,
        CASE WHEN facets IS NULL THEN '' ELSE 'AND e.facet_id = ANY ($3)' END
            || CASE WHEN not_images = '{}' THEN '' ELSE ' AND e.image_id <> ALL ($4)' END,
        format(probe, 'o', tests),
        format(probe, 'x', tests),
        terms.rows);
    RETURN QUERY EXECUTE statement
        USING query, k, facets, not_images, need, greatest(constants.sample_cells_most, k / 4), most, limit_rows, share,
              constants.sample_cells,
              -- so many groups have four times as many codes, if there are 500 of 2000 codes each
              constants.sample_cells + (need / (500 * share))::bigint;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_ball(
    integer, bit, integer, integer[], boolean, text, double precision, bigint[], integer, double precision) IS
    'The k nearest codes by an exact index, or nothing where a scan is faster; for cnnc_nearest.';

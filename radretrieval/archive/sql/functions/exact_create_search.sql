-- The search by anchors where nothing is filtered: exact_ball() in its shortest form, in a function of the index's own, for
-- sessions keep the plan of a statement that names its table; to plan it anew takes as long as to read a thousand codes.
-- $1 query, $2 k, $3 images that are left out, $4 largest distance, $5 codes at most: where more would have to be read, or
-- the nearest cells have too few, it gives nothing. $6 cells that are read for tau, and more of them for many hits.
CREATE OR REPLACE FUNCTION radretrieval.exact_create_search(index_id integer) RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET check_function_bodies = off AS $function$
DECLARE
    name CONSTANT text := 'exact_near_' || index_id;
    statement CONSTANT text := $$
        WITH g AS MATERIALIZED (
            SELECT g.first, g.last, g.reach, g.codes, (g.code <~> $1)::int AS dq FROM exact_group g WHERE g.index_id = %2$L),
        near AS MATERIALIZED (
            SELECT a.anchor FROM (SELECT g.first, g.last FROM g ORDER BY g.dq LIMIT 2 + %3$s) n, LATERAL (
                SELECT a.anchor, a.code <~> $1 AS dq FROM exact_anchor a
                WHERE a.index_id = %2$L AND a.anchor BETWEEN n.first AND n.last OFFSET 0) a
            ORDER BY a.dq LIMIT %3$s),
        t AS MATERIALIZED (
            SELECT least(CASE WHEN count(*) = $2 THEN max(f.distance)::int ELSE 1000 END, $4) AS tau FROM (
                SELECT x.distance FROM near n, LATERAL (
                    SELECT e.code <~> $1 AS distance FROM %1$I e
                    WHERE e.key BETWEEN n.anchor * 1024 AND n.anchor * 1024 + 1023 AND e.image_id <> ALL ($3) OFFSET 0) x
                ORDER BY x.distance LIMIT $2) f),
        -- where nearly all codes are in groups within tau, some of these tell how many would have to be read
        estimate AS MATERIALIZED (
            SELECT %7$s * sum(%5$s) AS rows FROM t, g, LATERAL (%6$s) a
            WHERE mod(g.first, %7$s) = 0 AND g.dq - t.tau <= g.reach AND a.dq - t.tau <= a.farthest
              AND a.dq + t.tau >= a.nearest),
        ranges AS MATERIALIZED (
            SELECT a.anchor * 1024 + greatest(a.dq - t.tau, a.nearest) AS low,
                   a.anchor * 1024 + least(a.dq + t.tau, a.farthest) AS high, t.tau::float8 AS tau, %5$s AS rows
            FROM t, g, LATERAL (%6$s) a
            WHERE g.dq - t.tau <= g.reach AND a.dq - t.tau <= a.farthest AND a.dq + t.tau >= a.nearest
              AND ((SELECT coalesce(sum(o.codes), 0) FROM g o, t u WHERE o.dq - u.tau <= o.reach) <= %4$s
                   OR (SELECT coalesce(e.rows, 0) FROM estimate e) <= %8$s * $5))
        SELECT h.image_id, h.distance::int FROM (
            SELECT x.image_id, x.distance FROM ranges r, LATERAL (
                SELECT e.image_id, e.code <~> $1 AS distance FROM %1$I e
                WHERE e.key BETWEEN r.low AND r.high AND e.code <~> $1 <= r.tau AND e.image_id <> ALL ($3) OFFSET 0) x
            WHERE (SELECT coalesce(sum(s.rows), 0) FROM ranges s) <= $5
            ORDER BY x.distance FETCH FIRST ($2) ROWS WITH TIES) h
        ORDER BY h.distance, h.image_id LIMIT $2 + 10000$$;
    terms CONSTANT record := exact_terms(index_id);
    constants CONSTANT record := search_constants();
    -- cells that have four times k codes on average
    more text;
    most bigint;
BEGIN
    SELECT '$6 + ($2 * ' || 4 * count(*) / greatest(sum(a.codes), 1)::float8 || ')::int',
           constants.estimate_from * sum(a.codes) INTO more, most
    FROM exact_anchor a WHERE a.index_id = exact_create_search.index_id;
    EXECUTE format($$
        CREATE OR REPLACE FUNCTION %1$I(bit, integer, bigint[], integer, double precision, integer)
        RETURNS TABLE (image_id bigint, distance integer)
        LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp SET jit = off
        SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan AS %2$L
        $$, name, 'BEGIN RETURN QUERY ' || format(
            statement, 'exact_' || index_id, index_id, more, most, terms.rows, terms.anchors, constants.estimate_groups,
            constants.estimate_spare) || '; END');
    EXECUTE format('COMMENT ON FUNCTION %I IS %L', name,
                   'The search by the exact index ' || index_id || ', made by exact_create_search(); for cnnc_nearest().');
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_create_search(integer) IS
    'Makes the function exact_near_<id>, by which sessions keep the plan of searches by an exact index that has groups.';

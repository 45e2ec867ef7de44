-- One batch of fill_neighbours: a procedure that commits cannot have a SET clause.
CREATE OR REPLACE FUNCTION radretrieval.fill_neighbours_batch(
    encoder integer, k integer, wanted bigint, after bigint, since timestamptz, most integer DEFAULT 2000)
RETURNS bigint
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    ids bigint[];
    x CONSTANT integer := exact_index_used(encoder);
    partition CONSTANT text := 'cnnc_' || encoder;
    -- the anchors that are compared with q.code, before tau is known and when it is; where there are groups, those of some
    near text := 'anchor n';
    reached text := 'anchor n';
    cells bigint;
BEGIN
    -- two that fill do so one after the other, and neither repeats the other's; who reads and who writes images go on
    LOCK TABLE neighbour IN SHARE UPDATE EXCLUSIVE MODE;
    EXECUTE format($$
        SELECT array_agg(b.image_id) FROM (
            SELECT c.image_id FROM %1$I c
            WHERE c.encoder_id = %2$L AND c.image_id > $1 AND $2 > (
                SELECT count(*) FROM neighbour n
                WHERE n.image_id = c.image_id AND n.encoder_id = %2$L AND n.filled_at >= $3)
            ORDER BY c.image_id LIMIT $4) b
        $$, partition, encoder) INTO ids USING after, wanted, since, most;
    DELETE FROM neighbour n WHERE n.image_id = ANY (ids) AND n.encoder_id = fill_neighbours_batch.encoder;
    IF x IS NULL THEN
        -- the cast keeps the planner from an HNSW index
        EXECUTE format($$
            INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance)
            SELECT %2$L::int, q.image_id, row_number() OVER (PARTITION BY q.image_id ORDER BY s.distance, s.image_id),
                   s.image_id, s.distance
            FROM %1$I q, LATERAL (
                SELECT c.image_id, (c.code <~> q.code)::int AS distance FROM %1$I c
                WHERE c.image_id <> q.image_id ORDER BY distance, c.image_id LIMIT $2) s
            WHERE q.image_id = ANY ($1)
            $$, partition, encoder) USING ids, k;
        RETURN ids[cardinality(ids)];
    END IF;
    SELECT s.graph_cells + s.graph_hits * k * count(*) / sum(a.codes)::int INTO cells
    FROM exact_anchor a, search_constants() s WHERE a.index_id = x GROUP BY s.graph_cells, s.graph_hits;
    IF EXISTS (SELECT FROM exact_group g WHERE g.index_id = x) THEN
        near := format('(SELECT g.first, g.last FROM grouped g ORDER BY g.code <~> q.code LIMIT $3) g, LATERAL '
                       '(SELECT n.anchor, n.code FROM exact_anchor n WHERE n.index_id = %L'
                       ' AND n.anchor BETWEEN g.first AND g.last OFFSET 0) n', x);
        reached := format('grouped g, LATERAL (SELECT n.anchor, n.nearest, n.farthest, n.code FROM exact_anchor n'
                          ' WHERE n.index_id = %L AND n.anchor BETWEEN g.first AND g.last OFFSET 0) n'
                          ' WHERE g.code <~> q.code <= g.reach + t.tau', x);
    END IF;
    -- as exact_ball, but planned once for all images; tau is the distance of the k-th hit in the nearest cells
    EXECUTE format($$
        INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance)
        WITH anchor AS MATERIALIZED (
            SELECT n.anchor, n.nearest, n.farthest, n.code FROM exact_anchor n
            WHERE n.index_id = %4$L AND n.nearest <= n.farthest),
        grouped AS MATERIALIZED (SELECT * FROM exact_group g WHERE g.index_id = %4$L)
        SELECT %2$L::int, q.image_id, row_number() OVER (PARTITION BY q.image_id ORDER BY s.distance, s.image_id),
               s.image_id, s.distance
        FROM (SELECT e.image_id, e.code FROM %3$I e WHERE e.image_id = ANY ($1) OFFSET 0) q, LATERAL (
            SELECT CASE WHEN count(*) = $2 THEN max(f.distance) ELSE 1000 END AS tau FROM (
                SELECT h.distance FROM (SELECT n.anchor FROM %5$s ORDER BY n.code <~> q.code LIMIT $3) a, LATERAL (
                    SELECT (e.code <~> q.code)::int AS distance FROM %3$I e
                    WHERE e.key BETWEEN a.anchor * 1024 AND a.anchor * 1024 + 1023 AND e.image_id <> q.image_id OFFSET 0) h
                ORDER BY h.distance LIMIT $2) f OFFSET 0) t, LATERAL (
            SELECT h.image_id, h.distance FROM (
                SELECT n.anchor, n.nearest, n.farthest, (n.code <~> q.code)::int AS away FROM %6$s OFFSET 0) a, LATERAL (
                SELECT e.image_id, (e.code <~> q.code)::int AS distance FROM %3$I e
                WHERE e.key BETWEEN a.anchor * 1024 + greatest(a.nearest, a.away - t.tau)
                                AND a.anchor * 1024 + least(a.farthest, a.away + t.tau)
                  AND e.code <~> q.code <= t.tau AND e.image_id <> q.image_id OFFSET 0) h
            WHERE a.away - t.tau <= a.farthest AND a.away + t.tau >= a.nearest
            ORDER BY h.distance, h.image_id LIMIT $2) s
        $$, partition, encoder, 'exact_' || x, x, near, reached)
        USING ids, k, cells;
    RETURN ids[cardinality(ids)];
END
$function$;

COMMENT ON FUNCTION radretrieval.fill_neighbours_batch(integer, integer, bigint, bigint, timestamptz, integer) IS
    'Fills the table neighbour for the next images after `after` that have fewer than `wanted` rows filled since `since`, '
    'for fill_neighbours. Gives the last image, NULL when none was left.';

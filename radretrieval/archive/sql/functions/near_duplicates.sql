-- Three ways, and the answer is the same.
-- Blocks: of two codes that differ in t bits, cut into t + 1 blocks, one block is equal, so that each block is joined with
-- itself, and a pair is given with its first equal block. That is fastest as long as few codes share a block, which some
-- of the blocks tell beforehand.
-- Index: a code x with anchor a has the stored distance d(x,a), and two codes x, y within t have |d(x,b) - d(y,b)| <= t for
-- every anchor b, so that of y's anchor b only a range of keys is read for each x, and of a only those x that b can have a
-- y for. The OFFSET 0 are fences: without them the planner turns the nested loops round.
-- Else all are compared with all.
CREATE OR REPLACE FUNCTION radretrieval.near_duplicates(max_distance integer DEFAULT 10, encoder integer DEFAULT NULL)
RETURNS TABLE (image_id bigint, other_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = radretrieval, public, pg_temp SET jit = off
SET work_mem = '64MB' SET enable_mergejoin = off AS $function$
DECLARE
    constants record;
    number CONSTANT integer := encoder_number(encoder);
    partition CONSTANT text := 'cnnc_' || number;
    codes CONSTANT double precision := (SELECT count(*) FROM cnnc c WHERE c.encoder_id = number);
    -- where policies hold, images are joined, and all are compared with all
    hidden CONSTANT boolean := row_security_active('image');
    x CONSTANT integer := CASE WHEN NOT hidden THEN exact_index_used(number) END;
    width CONSTANT integer := 1000 / (greatest(max_distance, 0) + 1);
    -- three of the blocks, or all of fewer
    step CONSTANT integer := greatest(1, max_distance / 2);
    sharing double precision;
BEGIN
    SELECT * INTO constants FROM search_constants();
    IF max_distance IS NULL OR max_distance < 0 OR max_distance > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'max_distance is ' || coalesce(max_distance::text, 'NULL') || '; it takes a number from 0 to 1000';
    ELSIF max_distance < constants.blocks_below AND NOT hidden THEN
        EXECUTE format($$
            SELECT sum(s.codes * (s.codes - 1) / 2) FROM (
                SELECT count(*)::float8 AS codes FROM %I c, generate_series(0, $1, $2) b
                GROUP BY b, bit_send(substring(c.code FROM b * $3 + 1 FOR $3))) s
            $$, partition) INTO sharing USING max_distance, step, width;
        sharing := sharing * (max_distance + 1) / (max_distance / step + 1);
    END IF;
    IF sharing < (CASE WHEN x IS NULL THEN codes * codes * constants.blocks_share ELSE constants.blocks_per_code * codes END) THEN
        FOR block IN 0 .. max_distance LOOP
            RETURN QUERY EXECUTE format($$
                SELECT c.image_id, o.image_id, (o.code <~> c.code)::int FROM %1$I c
                JOIN %1$I o ON o.image_id > c.image_id AND o.code <~> c.code <= $1
                    AND bit_send(substring(o.code FROM $2 * $3 + 1 FOR $3)) = bit_send(substring(c.code FROM $2 * $3 + 1 FOR $3))
                WHERE NOT EXISTS (
                    SELECT FROM generate_series(0, $2 - 1) b
                    WHERE substring(o.code FROM b * $3 + 1 FOR $3) = substring(c.code FROM b * $3 + 1 FOR $3))
                $$, partition) USING max_distance, block, width;
        END LOOP;
    ELSIF x IS NULL THEN
        RETURN QUERY EXECUTE format($$
            SELECT c.image_id, o.image_id, (o.code <~> c.code)::int FROM %1$I c
            JOIN %1$I o ON o.image_id > c.image_id AND o.code <~> c.code <= $1 %2$s
            $$, partition, CASE WHEN hidden THEN
                'JOIN image i ON i.id = c.image_id JOIN image p ON p.id = o.image_id' END) USING max_distance;
    ELSE
        RETURN QUERY EXECUTE format($$
            WITH anchor AS MATERIALIZED (
                SELECT n.anchor, n.nearest, n.farthest, n.code FROM exact_anchor n
                WHERE n.index_id = %2$L AND n.nearest <= n.farthest)
            SELECT least(x.image_id, y.image_id), greatest(x.image_id, y.image_id), y.distance
            FROM anchor a, LATERAL (
                SELECT o.anchor, o.nearest, o.farthest, o.code, (o.code <~> a.code)::int AS apart FROM anchor o
                WHERE o.anchor >= a.anchor AND o.code <~> a.code <= a.farthest + o.farthest + $1 OFFSET 0) b,
            LATERAL (
                SELECT e.image_id, e.code, (e.code <~> b.code)::int AS away FROM %1$I e
                WHERE e.key BETWEEN
                    a.anchor * 1024 + greatest(a.nearest, b.apart - b.farthest - $1, b.nearest - b.apart - $1)
                                AND a.anchor * 1024 + least(a.farthest, b.apart + b.farthest + $1) OFFSET 0) x,
            LATERAL (
                SELECT e.image_id, (e.code <~> x.code)::int AS distance FROM %1$I e
                WHERE e.key BETWEEN b.anchor * 1024 + greatest(b.nearest, x.away - $1)
                                AND b.anchor * 1024 + least(b.farthest, x.away + $1)
                  AND e.code <~> x.code <= $1 OFFSET 0) y
            WHERE x.away BETWEEN b.nearest - $1 AND b.farthest + $1 AND (b.anchor <> a.anchor OR x.image_id < y.image_id)
            $$, 'exact_' || x, x) USING max_distance;
    END IF;
END
$function$;

COMMENT ON FUNCTION radretrieval.near_duplicates(integer, integer) IS
    'Every two images of the archive whose CNN codes differ in at most max_distance bits (0 to 1000), exactly, once, with '
    'image_id < other_id, in no order. encoder: NULL for the active one. Up to some 20 bits the time grows with the images, not '
    'with their square; beyond, an exact index (radretrieval index build --kind exact) helps.';

-- Questions about all codes at once. No per cent sign and no colon before a word stands here.

-- Three ways, and the answer is the same. Blocks - cut two codes that differ in t bits into t + 1 blocks, and one of the blocks
-- is equal, so that each block is joined with itself, and a pair is given with its first equal block. That is fastest as long as
-- few codes share a block, which some blocks tell beforehand. Index - a code x with anchor a has the stored distance d(x,a), and
-- two codes x, y within t have |d(x,b) - d(y,b)| <= t for every anchor b, so that of y's anchor b only a range of keys is looked
-- at for each x, and of a only those x that b can have a y for. The OFFSET 0 are fences - without them the planner turns the
-- nested loops round. Else all are compared with all.
CREATE OR REPLACE FUNCTION radretrieval.near_duplicates(max_distance integer DEFAULT 10, encoder integer DEFAULT NULL)
RETURNS TABLE (image_id bigint, other_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = radretrieval, public, pg_temp SET jit = off
SET work_mem = '64MB' SET enable_mergejoin = off AS $function$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    codes CONSTANT double precision := (SELECT count(*) FROM cnnc c WHERE c.encoder_id = number);
    x CONSTANT integer := (SELECT i.id FROM exact_index i JOIN exact_anchor a ON a.index_id = i.id
                           WHERE i.encoder_id = number AND i.live GROUP BY i.id HAVING sum(a.codes) >= 5000);
    width CONSTANT integer := 1000 / (greatest(max_distance, 0) + 1);
    -- three of the blocks, or all of fewer
    step CONSTANT integer := greatest(1, max_distance / 2);
    sharing double precision;
BEGIN
    IF max_distance IS NULL OR max_distance < 0 OR max_distance > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'max_distance is ' || coalesce(max_distance::text, 'NULL') || '; it takes a number from 0 to 1000';
    ELSIF max_distance < 100 THEN
        EXECUTE replace($$
            SELECT sum(s.codes * (s.codes - 1) / 2) FROM (
                SELECT count(*)::float8 AS codes FROM cnnc_{encoder} c, generate_series(0, $1, $2) b
                GROUP BY b, bit_send(substring(c.code FROM b * $3 + 1 FOR $3))) s
            $$, '{encoder}', number::text) INTO sharing USING max_distance, step, width;
        sharing := sharing * (max_distance + 1) / (max_distance / step + 1);
    END IF;
    IF sharing < (CASE WHEN x IS NULL THEN codes * codes / 4 ELSE 150 * codes END) THEN
        FOR block IN 0 .. max_distance LOOP
            RETURN QUERY EXECUTE replace($$
                SELECT c.image_id, o.image_id, (o.code <~> c.code)::int FROM cnnc_{encoder} c
                JOIN cnnc_{encoder} o ON o.image_id > c.image_id AND o.code <~> c.code <= $1
                    AND bit_send(substring(o.code FROM $2 * $3 + 1 FOR $3)) = bit_send(substring(c.code FROM $2 * $3 + 1 FOR $3))
                WHERE NOT EXISTS (
                    SELECT FROM generate_series(0, $2 - 1) b
                    WHERE substring(o.code FROM b * $3 + 1 FOR $3) = substring(c.code FROM b * $3 + 1 FOR $3))
                $$, '{encoder}', number::text) USING max_distance, block, width;
        END LOOP;
    ELSIF x IS NULL THEN
        RETURN QUERY EXECUTE replace($$
            SELECT c.image_id, o.image_id, (o.code <~> c.code)::int FROM cnnc_{encoder} c
            JOIN cnnc_{encoder} o ON o.image_id > c.image_id AND o.code <~> c.code <= $1
            $$, '{encoder}', number::text) USING max_distance;
    ELSE
        RETURN QUERY EXECUTE replace($$
            WITH anchor AS MATERIALIZED (
                SELECT n.anchor, n.nearest, n.farthest, n.code FROM exact_anchor n
                WHERE n.index_id = {index} AND n.nearest <= n.farthest)
            SELECT least(x.image_id, y.image_id), greatest(x.image_id, y.image_id), y.distance
            FROM anchor a, LATERAL (
                SELECT o.anchor, o.nearest, o.farthest, o.code, (o.code <~> a.code)::int AS apart FROM anchor o
                WHERE o.anchor >= a.anchor AND o.code <~> a.code <= a.farthest + o.farthest + $1 OFFSET 0) b,
            LATERAL (
                SELECT e.image_id, e.code, (e.code <~> b.code)::int AS away FROM exact_{index} e
                WHERE e.key BETWEEN
                    a.anchor * 1024 + greatest(a.nearest, b.apart - b.farthest - $1, b.nearest - b.apart - $1)
                                AND a.anchor * 1024 + least(a.farthest, b.apart + b.farthest + $1) OFFSET 0) x,
            LATERAL (
                SELECT e.image_id, (e.code <~> x.code)::int AS distance FROM exact_{index} e
                WHERE e.key BETWEEN b.anchor * 1024 + greatest(b.nearest, x.away - $1)
                                AND b.anchor * 1024 + least(b.farthest, x.away + $1)
                  AND e.code <~> x.code <= $1 OFFSET 0) y
            WHERE x.away BETWEEN b.nearest - $1 AND b.farthest + $1 AND (b.anchor <> a.anchor OR x.image_id < y.image_id)
            $$, '{index}', x::text) USING max_distance;
    END IF;
END
$function$;

COMMENT ON FUNCTION radretrieval.near_duplicates(integer, integer) IS
    'Every two images of the archive whose CNN codes differ in at most max_distance bits (0 to 1000), exactly, once, with '
    'image_id < other_id, in no order. encoder: NULL for the active one. Up to some 20 bits the time grows with the images, not '
    'with their square; beyond, an exact index (radretrieval index build --kind exact) helps.';

-- One batch of fill_neighbours - a procedure that commits cannot have a SET clause.
CREATE OR REPLACE FUNCTION radretrieval.fill_neighbours_batch(encoder integer, k integer, wanted bigint, after bigint, since timestamptz,
                                                   most integer DEFAULT 2000)
RETURNS bigint
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    ids bigint[];
    x CONSTANT integer := (SELECT i.id FROM exact_index i JOIN exact_anchor a ON a.index_id = i.id
                           WHERE i.encoder_id = fill_neighbours_batch.encoder AND i.live
                           GROUP BY i.id HAVING sum(a.codes) >= 5000);
BEGIN
    -- two that fill take turns, and neither does what the other has done
    PERFORM pg_advisory_xact_lock(7266320151);
    EXECUTE replace($$
        SELECT array_agg(b.image_id) FROM (
            SELECT c.image_id FROM cnnc_{encoder} c
            WHERE c.encoder_id = {encoder} AND c.image_id > $1 AND $2 > (
                SELECT count(*) FROM neighbour n
                WHERE n.image_id = c.image_id AND n.encoder_id = {encoder} AND n.filled_at >= $3)
            ORDER BY c.image_id LIMIT $4) b
        $$, '{encoder}', encoder::text) INTO ids USING after, wanted, since, most;
    DELETE FROM neighbour n WHERE n.image_id = ANY (ids) AND n.encoder_id = fill_neighbours_batch.encoder;
    IF x IS NULL THEN
        -- the cast keeps an HNSW index out of it
        EXECUTE replace($$
            INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance)
            SELECT {encoder}, q.image_id, row_number() OVER (PARTITION BY q.image_id ORDER BY s.distance, s.image_id),
                   s.image_id, s.distance
            FROM cnnc_{encoder} q, LATERAL (
                SELECT c.image_id, (c.code <~> q.code)::int AS distance FROM cnnc_{encoder} c
                WHERE c.image_id <> q.image_id ORDER BY distance, c.image_id LIMIT $2) s
            WHERE q.image_id = ANY ($1)
            $$, '{encoder}', encoder::text) USING ids, k;
        RETURN ids[cardinality(ids)];
    END IF;
    -- as exact_ball, but planned once for all images - tau is the distance of the k-th hit in the nearest cells
    EXECUTE replace(replace($$
        INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance)
        WITH anchor AS MATERIALIZED (
            SELECT n.anchor, n.nearest, n.farthest, n.code FROM exact_anchor n
            WHERE n.index_id = {index} AND n.nearest <= n.farthest)
        SELECT {encoder}, q.image_id, row_number() OVER (PARTITION BY q.image_id ORDER BY s.distance, s.image_id),
               s.image_id, s.distance
        FROM (SELECT e.image_id, e.code FROM exact_{index} e WHERE e.image_id = ANY ($1) OFFSET 0) q, LATERAL (
            SELECT CASE WHEN count(*) = $2 THEN max(f.distance) ELSE 1000 END AS tau FROM (
                SELECT h.distance FROM (SELECT n.anchor FROM anchor n ORDER BY n.code <~> q.code LIMIT $3) a, LATERAL (
                    SELECT (e.code <~> q.code)::int AS distance FROM exact_{index} e
                    WHERE e.key BETWEEN a.anchor * 1024 AND a.anchor * 1024 + 1023 AND e.image_id <> q.image_id OFFSET 0) h
                ORDER BY h.distance LIMIT $2) f OFFSET 0) t, LATERAL (
            SELECT h.image_id, h.distance FROM (
                SELECT n.anchor, n.nearest, n.farthest, (n.code <~> q.code)::int AS away FROM anchor n OFFSET 0) a, LATERAL (
                SELECT e.image_id, (e.code <~> q.code)::int AS distance FROM exact_{index} e
                WHERE e.key BETWEEN a.anchor * 1024 + greatest(a.nearest, a.away - t.tau)
                                AND a.anchor * 1024 + least(a.farthest, a.away + t.tau)
                  AND e.code <~> q.code <= t.tau AND e.image_id <> q.image_id OFFSET 0) h
            WHERE a.away - t.tau <= a.farthest AND a.away + t.tau >= a.nearest
            ORDER BY h.distance, h.image_id LIMIT $2) s
        $$, '{encoder}', encoder::text), '{index}', x::text)
        USING ids, k, (SELECT 4 + 3 * k * count(*) / sum(a.codes)::int FROM exact_anchor a WHERE a.index_id = x);
    RETURN ids[cardinality(ids)];
END
$function$;

COMMENT ON FUNCTION radretrieval.fill_neighbours_batch(integer, integer, bigint, bigint, timestamptz, integer) IS
    'Fills the table neighbour for the next images after `after` that have fewer than `wanted` rows filled since `since`, '
    'for fill_neighbours. Gives the last image, NULL when none was left.';

CREATE OR REPLACE PROCEDURE radretrieval.fill_neighbours(k integer DEFAULT 10, encoder integer DEFAULT NULL, again boolean DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
    number CONSTANT integer := radretrieval.encoder_number(encoder);
    since CONSTANT timestamptz := CASE WHEN again THEN clock_timestamp() ELSE '-infinity' END;
    wanted bigint;
    reached bigint := -1;
BEGIN
    IF k IS NULL OR k < 1 OR k > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'k is ' || coalesce(k::text, 'NULL') || '; a graph of neighbours takes a number from 1 to 1000';
    END IF;
    wanted := least(k, (SELECT count(*) - 1 FROM radretrieval.cnnc c WHERE c.encoder_id = number));
    COMMIT;
    LOOP
        reached := radretrieval.fill_neighbours_batch(number, k, wanted, reached, since);
        COMMIT;
        EXIT WHEN reached IS NULL;
    END LOOP;
END
$$;

COMMENT ON PROCEDURE radretrieval.fill_neighbours(integer, integer, boolean) IS
    'Fills the table neighbour: the k nearest images (1 to 1000) of every image with a code of an encoder (NULL: the active'
    ' one), exactly. CALL it outside a transaction: it commits every 2000 images, and another CALL goes on where one was '
    'ended. Images that have k rows already are left as they are, so that new images get rows, but do not come into older '
    'ones; again => true finds all rows anew, batch by batch.';

CREATE OR REPLACE FUNCTION radretrieval.neighbours_by_class(k integer DEFAULT 10, encoder integer DEFAULT NULL)
RETURNS TABLE (irma_code text, neighbour_irma_code text, relations bigint, share double precision)
LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    coded CONSTANT bigint := (SELECT count(*) FROM cnnc c WHERE c.encoder_id = number);
    -- an image's last rank, counted: the graph may hold more than k, or images that were filled with fewer
    filled CONSTANT bigint := (SELECT count(*) FROM neighbour n WHERE n.encoder_id = number AND n.rank = least(k, coded - 1));
    hint CONSTANT text := 'CALL radretrieval.fill_neighbours(k => ' || k || ', encoder => ' || number || ')';
BEGIN
    IF k IS NULL OR k < 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'k is ' || coalesce(k::text, 'NULL') || '; it takes a number from 1 on';
    ELSIF filled = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', HINT = hint || ', outside a transaction, fills it.',
            MESSAGE = 'the graph of neighbours of encoder ' || number || ' is not filled with ' || k || ' an image';
    ELSIF filled < coded THEN
        RAISE WARNING USING MESSAGE = (coded - filled) || ' of ' || coded || ' images do not have ' || k
            || ' neighbours in the graph', HINT = hint || ', outside a transaction, fills it.';
    END IF;
    RETURN QUERY
        SELECT r.irma_code, r.neighbour_irma_code, r.relations,
               r.relations / (sum(r.relations) OVER (PARTITION BY r.irma_code))::float8
        FROM (SELECT i.irma_code, o.irma_code AS neighbour_irma_code, count(*) AS relations
              FROM neighbour n JOIN image i ON i.id = n.image_id JOIN image o ON o.id = n.neighbour_id
              WHERE n.encoder_id = number AND n.rank <= k
              GROUP BY i.irma_code, o.irma_code) r
        ORDER BY r.irma_code, r.relations DESC, r.neighbour_irma_code;
END
$$;

COMMENT ON FUNCTION radretrieval.neighbours_by_class(integer, integer) IS
    'Which classes are taken for which, as a matrix in long form, from the table neighbour: of the relations of each image '
    'to its k nearest, how many go from one IRMA code to another, and which share of the first one''s relations that is (0 '
    'to 1). NULL is no IRMA code. encoder: NULL for the active one. An error that tells how to fill the graph where it is '
    'not; a warning where images are missing.';

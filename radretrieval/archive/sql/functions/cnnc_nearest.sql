CREATE OR REPLACE FUNCTION radretrieval.cnnc_nearest(
    query bit, k integer, encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (image_id bigint, distance integer, path text)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp AS $function$
DECLARE
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    wanted filter_parts;
    x record;
    -- with one hit a patient: so many images are asked for, more each time until they are of k patients
    asked integer := k;
    got bigint;
    different bigint;
BEGIN
    IF k < 1 OR k > 1000000 OR k IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'k is ' || coalesce(k::text, 'NULL') || '; it takes a number from 1 to 1000000';
    ELSIF length(query) <> 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a CNN code has 1000 bits, the query has ' || length(query);
    ELSIF number IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'no encoder is active; name one';
    ELSIF to_regclass(format('%I', 'cnnc_' || number)) IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the archive has no encoder ' || number
            || '; it has: ' || coalesce((SELECT string_agg(e.id::text, ', ' ORDER BY e.id) FROM encoder e), 'none');
    END IF;
    IF query IS NULL THEN
        RETURN;
    END IF;
    wanted := filter_read(filter);
    IF wanted.images IS NULL AND wanted.one_per IS NULL AND NOT row_security_active('image') THEN
        -- Nothing is filtered: a function of the index has the statement, whose plan the session keeps; it takes less than
        -- to plan it anew. What exact_of asks, but for rows in the table: those that are found prove them.
        SELECT i.id, i.codes, c.* INTO x FROM exact_index i, search_constants() c
        WHERE i.encoder_id = number AND i.live AND NOT i.bypassed AND i.codes >= c.index_from AND k <= i.codes / c.index_k_share
          AND exact_followed(i.encoder_id) AND to_regclass('radretrieval.exact_' || i.id) IS NOT NULL
          AND NOT EXISTS (SELECT FROM pg_subscription_rel)
          AND EXISTS (SELECT FROM pg_proc p
                      WHERE p.proname = 'exact_near_' || i.id AND p.pronamespace = 'radretrieval'::regnamespace);
        IF x.id IS NOT NULL THEN
            RETURN QUERY EXECUTE format(
                $$SELECT n.image_id, n.distance, 'exact-index' FROM %I($1, $2, $3, $4, $5, $6) n$$, 'exact_near_' || x.id)
                USING query, k, wanted.not_images, wanted.most, x.ball_share * x.codes, x.sample_cells;
            IF NOT FOUND THEN
                RETURN QUERY SELECT s.image_id, s.distance, 'exact-scan'
                    FROM exact_scan(number, query, k, NULL, wanted.not_images, wanted.most) s;
            END IF;
            RETURN;
        END IF;
    END IF;
    IF wanted.one_per IS NULL THEN
        RETURN QUERY SELECT n.image_id, n.distance, n.path FROM exact_nearest(number, query, k, wanted) n;
        RETURN;
    END IF;
    LOOP
        asked := least(asked::bigint * 4, 1000000);
        EXECUTE format('SELECT count(*), count(DISTINCT i.%1$I) + count(*) FILTER (WHERE i.%1$I IS NULL)'
                       ' FROM exact_nearest($1, $2, $3, $4) n JOIN image i ON i.id = n.image_id', wanted.one_per)
            INTO got, different USING number, query, asked, wanted;
        EXIT WHEN different >= k OR got < asked OR asked = 1000000;
    END LOOP;
    RETURN QUERY EXECUTE format($$
        SELECT h.image_id, h.distance, h.path FROM (
            SELECT t.* FROM (
                SELECT DISTINCT ON (i.%1$I, CASE WHEN i.%1$I IS NULL THEN n.image_id END) n.image_id, n.distance, n.path
                FROM exact_nearest($1, $2, $3, $4) n JOIN image i ON i.id = n.image_id
                ORDER BY i.%1$I, CASE WHEN i.%1$I IS NULL THEN n.image_id END, n.distance, n.image_id) t
            ORDER BY t.distance FETCH FIRST ($5) ROWS WITH TIES) h
        ORDER BY h.distance, h.image_id
        $$, wanted.one_per) USING number, query, asked, wanted, k;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_nearest(bit, integer, integer, jsonb) IS
    'The k images whose CNN codes are nearest to `query` (1000 bits) by Hamming distance, exactly, by (distance, image_id); '
    'those that tie with the k-th come too (10,000 at most). encoder: NULL for the active one. filter: a JSON object of columns '
    'of image (docs/sql.md), not_image, not_patient, one_per, max_distance. path tells which way was taken: exact-index, '
    'exact-filter (what passes the filter first) or exact-scan (every code); the answer is the same.';

-- The nearest codes, exactly. No per cent sign and no colon before a word stands here.

CREATE OR REPLACE FUNCTION radretrieval.irma_like(pattern text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    lengths CONSTANT integer[] := ARRAY[4, 3, 3, 3];
    axes CONSTANT text[] := string_to_array(lower(btrim(pattern)) COLLATE "C", '-');
    found text[] := '{}';
    axis text;
BEGIN
    IF strpos(pattern, '*') = 0 THEN
        RETURN radretrieval.irma_normalise(pattern);
    END IF;
    FOR n IN 1 .. 4 LOOP
        axis := coalesce(axes[n], '*');
        IF axis !~ '^[0-9a-z]*[*]?$' OR cardinality(axes) > 4 OR length(rtrim(axis, '*')) > lengths[n]
           OR (strpos(axis, '*') = 0 AND length(axis) < lengths[n]) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = quote_literal(pattern)
                || ' is no pattern of IRMA codes; each axis of TTTT-DDD-AAA-BBB is whole or a beginning and *, axes at the end may '
                || 'be left out, as in 1121-*, 1121-120-9* or *-*-5*';
        END IF;
        found := found || rpad(rtrim(axis, '*'), lengths[n], '_');
    END LOOP;
    RETURN array_to_string(found, '-');
END
$$;

COMMENT ON FUNCTION radretrieval.irma_like(text) IS
    'The pattern for LIKE of an IRMA code with * after the beginning of an axis: 1121-* gives 1121-___-___-___. '
    'A code without * is given in its written form.';

-- One condition of a filter, as SQL; `place` is a column of facet (no value is '') or of image (no value is NULL).
CREATE OR REPLACE FUNCTION radretrieval.filter_condition(place text, kind text, value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    parts text[];
    given text;
    bound text;
BEGIN
    IF jsonb_typeof(value) = 'array' THEN
        SELECT array_agg(filter_condition(place, kind, v)) INTO parts FROM jsonb_array_elements(value) v;
        RETURN coalesce('(' || array_to_string(parts, ' OR ') || ')', 'false');
    ELSIF jsonb_typeof(value) = 'object' THEN
        FOR given, bound IN SELECT * FROM jsonb_each_text(value) LOOP
            IF given = 'not' THEN
                parts := parts || ('NOT coalesce(' || filter_condition(place, kind, value -> 'not') || ', false)');
            ELSIF given IN ('from', 'before') AND kind NOT IN ('text', 'irma', 'boolean') AND bound IS NOT NULL THEN
                parts := parts || (place || CASE given WHEN 'from' THEN ' >= ' ELSE ' < ' END || filter_literal(place, kind, bound));
            ELSE
                RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || substr(place, 3) || ' does not know '
                    || quote_literal(given) || '; it takes a value, a list of values, {"not"} a value'
                    || CASE WHEN kind IN ('text', 'irma', 'boolean') THEN '' ELSE ', or a range {"from", "before"}' END;
            END IF;
        END LOOP;
        RETURN coalesce('(' || array_to_string(parts, ' AND ') || ')', 'true');
    END IF;
    given := value #>> '{}';
    IF coalesce(given, '') = '' THEN
        RETURN CASE WHEN kind NOT IN ('text', 'irma') THEN place || ' IS NULL'
                    WHEN starts_with(place, 'f.') THEN place || ' = '''''
                    ELSE '(' || place || ' IS NULL OR ' || place || ' = '''')' END;  -- facets know no difference
    ELSIF kind = 'irma' AND strpos(given, '*') > 0 THEN
        RETURN place || ' LIKE ' || quote_literal(irma_like(given));
    ELSIF kind = 'timestamptz' THEN  -- a day, from its beginning to its end
        RETURN '(' || place || ' >= ' || filter_literal(place, kind, given) || ' AND ' || place || ' < '
            || filter_literal(place, kind, given) || ' + interval ''1 day'')';
    END IF;
    RETURN place || ' = ' || filter_literal(place, kind, CASE kind WHEN 'irma' THEN irma_normalise(given) ELSE given END);
END
$$;

COMMENT ON FUNCTION radretrieval.filter_condition(text, text, jsonb) IS 'One condition of a filter as SQL, for cnnc_nearest.';

-- The right to put SQL of one's own into a filter is the right to execute this function.
CREATE OR REPLACE FUNCTION radretrieval.filter_sql(condition text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT '(' || condition || ')' $$;

COMMENT ON FUNCTION radretrieval.filter_sql(text) IS
    'Who may execute this function may put a condition of their own, on image i, under "sql" into a filter: '
    'GRANT EXECUTE ON FUNCTION radretrieval.filter_sql(text) TO role. The condition runs with the rights of who asks.';
REVOKE ALL ON FUNCTION radretrieval.filter_sql(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION radretrieval.filter_read(filter jsonb) RETURNS radretrieval.filter_parts
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    got filter_parts;
    facets text[];
    tests text[];
    images text[];
    key text;
    value jsonb;
    known record;
BEGIN
    got.not_images := '{}';
    got.most := 1000;
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a filter is a JSON object, as {"modality" : "CR"}, and not ' || filter;
    END IF;
    FOR key, value IN SELECT * FROM jsonb_each(coalesce(filter, '{}')) LOOP
        SELECT * INTO known FROM filter_columns() c WHERE c.name = key;
        IF FOUND THEN
            IF known.facet THEN
                facets := facets || filter_condition('f.' || key, known.kind, value);
                images := images || filter_condition('i.' || key, known.kind, value);
            ELSE
                tests := tests || filter_condition('i.' || key, known.kind, value);
            END IF;
        ELSIF key = 'not_image' THEN
            got.not_images := array(SELECT v::bigint FROM jsonb_array_elements_text(
                CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END) v WHERE v IS NOT NULL);
        ELSIF key = 'not_patient' THEN
            IF value #>> '{}' IS NOT NULL THEN  -- else of no patient
                tests := tests || ('i.patient_key IS DISTINCT FROM ' || quote_literal(value #>> '{}'));
            END IF;
        ELSIF key = 'one_per' AND value #>> '{}' IN ('patient', 'study') THEN
            got.one_per := CASE value #>> '{}' WHEN 'patient' THEN 'patient_key' ELSE 'study_instance_uid' END;
        ELSIF key = 'max_distance' AND jsonb_typeof(value) = 'number' AND (value #>> '{}')::numeric >= 0 THEN
            got.most := floor(least((value #>> '{}')::numeric, 1000))::int;
        ELSIF key = 'sql' THEN
            tests := tests || coalesce(filter_sql(value #>> '{}'), 'true');
        ELSIF key IN ('one_per', 'max_distance') THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || key || ' cannot be ' || value
                || CASE key WHEN 'one_per' THEN '; it is "patient" or "study"' ELSE '; it is a number from 0 to 1000' END;
        ELSE
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a filter cannot name ' || quote_literal(key)
                || '; the columns are: ' || (SELECT string_agg(c.name, ', ') FROM filter_columns() c),
                HINT = 'Besides columns it takes not_image, not_patient, one_per, max_distance and, for those who may, sql.';
        END IF;
    END LOOP;
    got.facets := array_to_string(facets, ' AND ');
    got.tests := array_to_string(tests, ' AND ');
    got.images := array_to_string(images || tests, ' AND ');
    RETURN got;
END
$$;

COMMENT ON FUNCTION radretrieval.filter_read(jsonb) IS 'A filter, checked, as cnnc_nearest uses it.';

CREATE OR REPLACE FUNCTION radretrieval.filter_rows(conditions text) RETURNS double precision
LANGUAGE plpgsql VOLATILE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM image i WHERE ' || conditions INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::float8;
END
$$;

COMMENT ON FUNCTION radretrieval.filter_rows(text) IS
    'How many images pass these conditions, as PostgreSQL''s planner estimates it, for cnnc_nearest. (Volatile, for in no '
    'other function may one EXPLAIN.)';

-- The search by anchors, in one statement and so in one snapshot. tau is the distance of the k-th hit in the nearest
-- cells; every code within tau lies in a range of keys that is looked at, so that the k nearest, ties included, are
-- found. The OFFSET 0 are fences - without them the planner turns the nested loop round and reads the table for each
-- range. Gives nothing when more than `limit_rows` would have to be looked at - a scan is faster then.
CREATE OR REPLACE FUNCTION radretrieval.exact_ball(index_id integer, query bit, k integer, facets integer[], cells boolean, tests text,
                                        share double precision, not_images bigint[], most integer, limit_rows double precision)
RETURNS TABLE (image_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    -- enough for a tau that is hardly ever too large, not so many that they cost more than that saves
    wanted CONSTANT double precision := k * greatest(2, 20 * sqrt(share));
    statement text := $$
        WITH cell AS MATERIALIZED ({cell}),
        a AS MATERIALIZED (
            SELECT a.anchor, a.nearest, a.farthest, a.codes, {hits} AS hits, (a.code <~> $1)::int AS dq
            FROM exact_anchor a {join} WHERE a.index_id = {index}),
        near AS MATERIALIZED (
            SELECT n.anchor FROM (
                SELECT m.anchor, sum(m.hits) OVER w - m.hits AS before, row_number() OVER w AS place
                FROM (SELECT a.anchor, a.hits, a.dq FROM a ORDER BY a.dq, a.anchor LIMIT $6) m
                WINDOW w AS (ORDER BY m.dq, m.anchor)) n
            WHERE n.before < $5 OR n.place <= 4),
        first AS MATERIALIZED (
            SELECT o.distance FROM (
                SELECT x.image_id, x.distance FROM near n, LATERAL (
                    SELECT e.image_id, (e.code <~> $1)::int AS distance FROM exact_{index} e
                    WHERE e.key BETWEEN n.anchor * 1024 AND n.anchor * 1024 + 1023 {rows} OFFSET 0) x
                ORDER BY x.distance OFFSET 0) o {probe}
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
                SELECT e.image_id, (e.code <~> $1)::int AS distance FROM exact_{index} e
                WHERE e.key BETWEEN r.low AND r.high AND e.code <~> $1 <= r.tau {rows} OFFSET 0) x {probe2}
            WHERE (SELECT coalesce(sum(s.rows), 0) FROM ranges s) <= $8
            ORDER BY x.distance FETCH FIRST ($2) ROWS WITH TIES) h
        ORDER BY h.distance, h.image_id LIMIT $2 + 10000
        $$;
    probe CONSTANT text := ', LATERAL (SELECT FROM image i WHERE i.id = {x}.image_id AND ' || tests || ' OFFSET 0) p';
BEGIN
    statement := replace(statement, '{index}', index_id::text);
    statement := replace(statement, '{cell}', CASE WHEN cells THEN
        'SELECT c.anchor, sum(c.codes) AS hits FROM exact_cell c WHERE c.index_id = ' || index_id
        || ' AND c.facet_id = ANY ($3) GROUP BY c.anchor' ELSE 'SELECT' END);
    statement := replace(statement, '{join}', CASE WHEN cells THEN 'JOIN cell USING (anchor)' ELSE '' END);
    statement := replace(statement, '{hits}', CASE WHEN cells THEN 'cell.hits * $9' ELSE 'a.codes * $9' END);
    statement := replace(statement, '{rows}', CASE WHEN facets IS NULL THEN '' ELSE 'AND e.facet_id = ANY ($3)' END
        || CASE WHEN not_images = '{}' THEN '' ELSE ' AND e.image_id <> ALL ($4)' END);
    statement := replace(statement, '{probe}', coalesce(replace(probe, '{x}', 'o'), ''));
    statement := replace(statement, '{probe2}', coalesce(replace(probe, '{x}', 'x'), ''));
    RETURN QUERY EXECUTE statement
        USING query, k, facets, not_images, wanted, greatest(512, k / 4), most, limit_rows, share;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_ball(integer, bit, integer, integer[], boolean, text, double precision, bigint[], integer,
    double precision) IS 'The k nearest codes by an exact index, or nothing where a scan is faster; for cnnc_nearest.';

-- The same by comparing with every code that passes; PostgreSQL's planner chooses how to come to those.
CREATE OR REPLACE FUNCTION radretrieval.exact_scan(encoder integer, query bit, k integer, conditions text, not_images bigint[], most integer)
RETURNS TABLE (image_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp SET jit = off AS $function$
BEGIN
    -- The cast keeps an HNSW index out of it. Not WITH TIES, which would sort every row: a few more than k are taken, and
    -- only where those do not hold all that tie, the rest is looked for.
    RETURN QUERY EXECUTE replace(replace($$
        WITH n AS MATERIALIZED (
            SELECT c.image_id, (c.code <~> $1)::int AS distance FROM {source}
            ORDER BY distance, c.image_id LIMIT $2 + 200),
        t AS MATERIALIZED (
            SELECT l.distance, (SELECT count(*) = $2 + 200 AND max(o.distance) = l.distance FROM n o) AS more,
                   (SELECT max(o.image_id) FROM n o WHERE o.distance = l.distance) AS last
            FROM (SELECT n.distance FROM n ORDER BY n.distance, n.image_id OFFSET $2 - 1 LIMIT 1) l)
        SELECT n.image_id, n.distance FROM n WHERE n.distance <= coalesce((SELECT t.distance FROM t), 1000)
        UNION ALL
        SELECT c.image_id, (SELECT t.distance FROM t) FROM {source}
        AND (SELECT t.more FROM t) AND c.code <~> $1 = (SELECT t.distance FROM t) AND c.image_id > (SELECT t.last FROM t)
        ORDER BY 2, 1 LIMIT $2 + 10000
        $$, '{source}', 'cnnc_{encoder} c '
            || CASE WHEN conditions IS NULL THEN '' ELSE 'JOIN image i ON i.id = c.image_id AND c.encoder_id = {encoder}' END
            || ' WHERE ' || CASE WHEN most < 1000 THEN 'c.code <~> $1 <= $4' ELSE 'true' END
            || coalesce(' AND ' || conditions, '') || CASE WHEN not_images = '{}' THEN '' ELSE ' AND c.image_id <> ALL ($3)' END),
        '{encoder}', encoder::text)
        USING query, k, not_images, most;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_scan(integer, bit, integer, text, bigint[], integer) IS
    'The k nearest codes by comparing with every one that passes; for cnnc_nearest.';

-- The exact search, whichever way is cheapest by the statistics at hand.
CREATE OR REPLACE FUNCTION radretrieval.exact_nearest(encoder integer, query bit, k integer, wanted radretrieval.filter_parts)
RETURNS TABLE (image_id bigint, distance integer, path text)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp AS $function$
DECLARE
    x record;
    matching integer[];
    matched double precision;
    spread double precision := 1;  -- share of the anchors that have codes of these facets
    share double precision := 1;
    few double precision;
    found bigint;
BEGIN
    SELECT i.id, a.codes, a.anchors INTO x
    FROM exact_index i, LATERAL (
        SELECT sum(a.codes)::float8 AS codes, count(*) AS anchors FROM exact_anchor a WHERE a.index_id = i.id) a
    WHERE i.encoder_id = exact_nearest.encoder AND i.live;
    IF x.id IS NULL OR x.codes < 5000 OR k > x.codes / 20 THEN
        RETURN QUERY SELECT s.image_id, s.distance, CASE WHEN wanted.images IS NULL THEN 'exact-scan' ELSE 'exact-filter' END
            FROM exact_scan(encoder, query, k, wanted.images, wanted.not_images, wanted.most) s;
        RETURN;
    END IF;
    matched := x.codes;
    IF wanted.facets IS NOT NULL THEN
        EXECUTE 'SELECT array_agg(f.id) FROM facet f WHERE ' || wanted.facets INTO matching;
        SELECT coalesce(sum(c.codes), 0), count(DISTINCT c.anchor) / x.anchors::float8 INTO matched, spread
        FROM exact_cell c WHERE c.index_id = x.id AND c.facet_id = ANY (matching);
        IF matched = 0 THEN
            RETURN;
        END IF;
    END IF;
    IF wanted.tests IS NOT NULL THEN
        share := least(1, greatest(filter_rows(wanted.tests), 1) / greatest(x.codes, 1));
    END IF;
    -- Below some thousands of codes it is cheaper to compare with each than to look for the near ones among the others;
    -- those of few anchors lie together on disk, and more of them are as cheap.
    few := 20 * k + CASE WHEN spread < 0.5 AND share = 1 THEN 15000 ELSE 4000 END;
    IF matched * share > few THEN
        RETURN QUERY SELECT b.image_id, b.distance, 'exact-index'
            FROM exact_ball(x.id, query, k, matching, spread < 0.5, wanted.tests,
                            share * CASE WHEN spread < 0.5 THEN 1 ELSE matched / x.codes END,
                            wanted.not_images, wanted.most, 0.6 * x.codes) b;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found > 0 THEN
            RETURN;
        END IF;
    ELSIF wanted.facets IS NOT NULL AND wanted.tests IS NULL THEN
        RETURN QUERY EXECUTE replace($$
            SELECT h.image_id, h.distance, 'exact-filter' FROM (
                SELECT e.image_id, (e.code <~> $1)::int AS distance FROM exact_{index} e
                WHERE e.facet_id = ANY ($3) AND e.image_id <> ALL ($4) AND e.code <~> $1 <= $5
                ORDER BY distance FETCH FIRST ($2) ROWS WITH TIES) h
            ORDER BY h.distance, h.image_id LIMIT $2 + 10000
            $$, '{index}', x.id::text) USING query, k, matching, wanted.not_images, wanted.most;
        RETURN;
    END IF;
    RETURN QUERY SELECT s.image_id, s.distance, CASE WHEN wanted.images IS NULL THEN 'exact-scan' ELSE 'exact-filter' END
        FROM exact_scan(encoder, query, k, wanted.images, wanted.not_images, wanted.most) s;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_nearest(integer, bit, integer, radretrieval.filter_parts) IS
    'The exact search by a filter that was read, whichever way is cheapest; for cnnc_nearest.';

CREATE OR REPLACE FUNCTION radretrieval.cnnc_nearest(query bit, k integer, encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (image_id bigint, distance integer, path text)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp AS $function$
DECLARE
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    wanted filter_parts;
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
    ELSIF to_regclass('cnnc_' || number) IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the archive has no encoder ' || number
            || '; it has: ' || coalesce((SELECT string_agg(e.id::text, ', ' ORDER BY e.id) FROM encoder e), 'none');
    END IF;
    IF query IS NULL THEN
        RETURN;
    END IF;
    wanted := filter_read(filter);
    IF wanted.one_per IS NULL THEN
        RETURN QUERY SELECT n.image_id, n.distance, n.path FROM exact_nearest(number, query, k, wanted) n;
        RETURN;
    END IF;
    LOOP
        asked := least(asked::bigint * 4, 1000000);
        EXECUTE 'SELECT count(*), count(DISTINCT i.' || wanted.one_per || ') + count(*) FILTER (WHERE i.' || wanted.one_per
            || ' IS NULL) FROM exact_nearest($1, $2, $3, $4) n JOIN image i ON i.id = n.image_id'
            INTO got, different USING number, query, asked, wanted;
        EXIT WHEN different >= k OR got < asked OR asked = 1000000;
    END LOOP;
    RETURN QUERY EXECUTE replace($$
        SELECT h.image_id, h.distance, h.path FROM (
            SELECT t.* FROM (
                SELECT DISTINCT ON (i.{column}, CASE WHEN i.{column} IS NULL THEN n.image_id END) n.image_id, n.distance, n.path
                FROM exact_nearest($1, $2, $3, $4) n JOIN image i ON i.id = n.image_id
                ORDER BY i.{column}, CASE WHEN i.{column} IS NULL THEN n.image_id END, n.distance, n.image_id) t
            ORDER BY t.distance FETCH FIRST ($5) ROWS WITH TIES) h
        ORDER BY h.distance, h.image_id
        $$, '{column}', wanted.one_per) USING number, query, asked, wanted, k;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_nearest(bit, integer, integer, jsonb) IS
    'The k images whose CNN codes are nearest to `query` (1000 bits) by Hamming distance, exactly, by (distance, image_id); '
    'those that tie with the k-th come too (10,000 at most). encoder: NULL for the active one. filter: a JSON object of columns '
    'of image (docs/sql.md), not_image, not_patient, one_per, max_distance. path tells which way was taken: exact-index, '
    'exact-filter (what passes the filter first) or exact-scan (every code); the answer is the same.';

CREATE OR REPLACE FUNCTION radretrieval.cnnc_matched(encoder integer, filter jsonb, most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp SET jit = off AS $function$
DECLARE
    wanted CONSTANT filter_parts := filter_read(filter);
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    x CONSTANT integer := (SELECT i.id FROM exact_index i WHERE i.encoder_id = number AND i.live);
    matching integer[];
    answer bigint;
BEGIN
    IF x IS NOT NULL AND wanted.tests IS NULL AND wanted.facets IS NOT NULL THEN
        EXECUTE 'SELECT array_agg(f.id) FROM facet f WHERE ' || wanted.facets INTO matching;
        EXECUTE 'SELECT count(*) FROM (SELECT FROM exact_' || x || ' e WHERE e.facet_id = ANY ($1) AND e.image_id <> ALL ($2) LIMIT $3) m'
            INTO answer USING matching, wanted.not_images, most;
    ELSE
        EXECUTE 'SELECT count(*) FROM (SELECT FROM image i JOIN cnnc_' || number
            || ' c ON c.image_id = i.id AND c.encoder_id = ' || number || ' WHERE '
            || coalesce(wanted.images, 'true') || ' AND i.id <> ALL ($1) LIMIT $2) m'
            INTO answer USING wanted.not_images, most;
    END IF;
    RETURN answer;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_matched(integer, jsonb, integer) IS
    'How many coded images pass a filter of cnnc_nearest (its max_distance and one_per apart); counting ends at `most`.';

CREATE OR REPLACE FUNCTION radretrieval.cnnc_within(query bit, distance integer, encoder integer DEFAULT NULL, most integer DEFAULT 1000)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    x CONSTANT integer := (SELECT i.id FROM exact_index i WHERE i.encoder_id = number AND i.live);
    answer bigint;
BEGIN
    IF x IS NULL THEN
        EXECUTE 'SELECT count(*) FROM (SELECT FROM cnnc_' || number || ' c WHERE c.code <~> $1 <= $2 LIMIT $3) n'
            INTO answer USING query, distance, most;
        RETURN answer;
    END IF;
    -- near cells first, for there the limit is reached soonest
    EXECUTE replace($$
        SELECT count(*) FROM (
            SELECT FROM (
                SELECT a.anchor, a.nearest, a.farthest, (a.code <~> $1)::int AS dq FROM exact_anchor a
                WHERE a.index_id = {index} ORDER BY dq OFFSET 0) a,
            LATERAL (
                SELECT FROM exact_{index} e
                WHERE e.key BETWEEN a.anchor * 1024 + greatest(a.dq - $2, a.nearest) AND a.anchor * 1024 + least(a.dq + $2, a.farthest)
                  AND e.code <~> $1 <= $2 OFFSET 0) e
            WHERE a.dq - $2 <= a.farthest AND a.dq + $2 >= a.nearest
            LIMIT $3) n
        $$, '{index}', x::text) INTO answer USING query, distance, most;
    RETURN answer;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_within(bit, integer, integer, integer) IS
    'How many images of the archive have a code within this distance of `query`, exactly; counting ends at `most`.';

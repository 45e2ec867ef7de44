-- The exact search, by the way that the statistics at hand make the cheapest.
CREATE OR REPLACE FUNCTION radretrieval.exact_nearest(
    encoder integer, query bit, k integer, wanted radretrieval.filter_parts)
RETURNS TABLE (image_id bigint, distance integer, path text)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp AS $function$
DECLARE
    constants record;
    x record;
    matching integer[];
    matched double precision;
    spread double precision := 1;  -- share of the anchors that have codes of these facets
    share double precision := 1;
    near boolean;
    found bigint;
BEGIN
    SELECT * INTO constants FROM search_constants();
    -- NULL: a program of an earlier version built it
    SELECT i.id, coalesce(i.codes, (SELECT sum(a.codes) FROM exact_anchor a WHERE a.index_id = i.id))::float8 AS codes
    INTO x FROM exact_index i WHERE i.id = exact_of(encoder);
    IF row_security_active('image') THEN  -- the index knows no policies: the scan joins what this role may see
        wanted.images := coalesce(wanted.images, 'true');
        x.id := NULL;
    END IF;
    IF x.id IS NULL OR x.codes < constants.index_from OR k > x.codes / constants.index_k_share THEN
        RETURN QUERY SELECT s.image_id, s.distance, CASE WHEN wanted.images IS NULL THEN 'exact-scan' ELSE 'exact-filter' END
            FROM exact_scan(encoder, query, k, wanted.images, wanted.not_images, wanted.most) s;
        RETURN;
    END IF;
    matched := x.codes;
    IF wanted.facets IS NOT NULL THEN
        EXECUTE format('SELECT array_agg(f.id) FROM facet f WHERE %s', wanted.facets) INTO matching;
        SELECT coalesce(sum(c.codes), 0), count(DISTINCT c.anchor)::float8
                / (SELECT count(*) FROM exact_anchor a WHERE a.index_id = x.id) INTO matched, spread
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
    near := spread < constants.near_spread;
    IF matched * share > constants.list_per_hit * k
            + (CASE WHEN near AND share = 1 THEN constants.list_codes_near ELSE constants.list_codes END) THEN
        RETURN QUERY SELECT b.image_id, b.distance, 'exact-index'
            FROM exact_ball(x.id, query, k, matching, near, wanted.tests,
                            share * CASE WHEN near THEN 1 ELSE matched / x.codes END,
                            wanted.not_images, wanted.most, constants.ball_share * x.codes) b;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found > 0 THEN
            RETURN;
        END IF;
    ELSIF wanted.facets IS NOT NULL AND wanted.tests IS NULL THEN
        RETURN QUERY EXECUTE format($$
            SELECT h.image_id, h.distance, 'exact-filter' FROM (
                SELECT e.image_id, (e.code <~> $1)::int AS distance FROM %I e
                WHERE e.facet_id = ANY ($3) AND e.image_id <> ALL ($4) AND e.code <~> $1 <= $5
                ORDER BY distance FETCH FIRST ($2) ROWS WITH TIES) h
            ORDER BY h.distance, h.image_id LIMIT $2 + 10000
            $$, 'exact_' || x.id) USING query, k, matching, wanted.not_images, wanted.most;
        RETURN;
    END IF;
    RETURN QUERY SELECT s.image_id, s.distance, CASE WHEN wanted.images IS NULL THEN 'exact-scan' ELSE 'exact-filter' END
        FROM exact_scan(encoder, query, k, wanted.images, wanted.not_images, wanted.most) s;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_nearest(integer, bit, integer, radretrieval.filter_parts) IS
    'The exact search by a filter that was read, whichever way is cheapest; for cnnc_nearest.';

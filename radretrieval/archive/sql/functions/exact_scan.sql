-- The k nearest by comparing with every code that passes; PostgreSQL's planner chooses how to come to those.
CREATE OR REPLACE FUNCTION radretrieval.exact_scan(
    encoder integer, query bit, k integer, conditions text, not_images bigint[], most integer)
RETURNS TABLE (image_id bigint, distance integer)
LANGUAGE plpgsql STABLE ROWS 50 SET search_path = radretrieval, public, pg_temp SET jit = off AS $function$
DECLARE
    kept CONSTANT integer := k + (SELECT c.scan_spare FROM search_constants() c);
    source CONSTANT text := format('%I c', 'cnnc_' || encoder)
        || CASE WHEN conditions IS NULL THEN ''
                ELSE format(' JOIN image i ON i.id = c.image_id AND c.encoder_id = %L', encoder) END
        || ' WHERE ' || CASE WHEN most < 1000 THEN 'c.code <~> $1 <= $4' ELSE 'true' END
        || coalesce(' AND ' || conditions, '')
        || CASE WHEN not_images = '{}' THEN '' ELSE ' AND c.image_id <> ALL ($3)' END;
    found integer;
BEGIN
    -- The cast keeps the planner from an HNSW index. Not WITH TIES, which would sort every row: a few more than k are
    -- taken, and only where those do not hold all that tie, the rest is searched for.
    RETURN QUERY EXECUTE format($$
        WITH n AS MATERIALIZED (
            SELECT c.image_id, (c.code <~> $1)::int AS distance FROM %1$s
            ORDER BY distance, c.image_id LIMIT $5)
        SELECT n.image_id, n.distance FROM n
        WHERE n.distance <= coalesce((SELECT l.distance FROM n l ORDER BY l.distance, l.image_id OFFSET $2 - 1 LIMIT 1), 1000)
        ORDER BY n.distance, n.image_id
        $$, source) USING query, k, not_images, most, kept;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found = kept THEN
        -- a statement of its own: as a part of the other its parallel workers are started before it is known to be needed
        RETURN QUERY EXECUTE format($$
            SELECT c.image_id, (c.code <~> $1)::int FROM %1$s AND c.code <~> $1 <= (
                SELECT (c.code <~> $1)::int AS distance FROM %1$s ORDER BY distance, c.image_id OFFSET $2 - 1 LIMIT 1)
            ORDER BY 2, 1 OFFSET $5 LIMIT $2 + 10000 - $5
            $$, source) USING query, k, not_images, most, kept;
    END IF;
END
$function$;

COMMENT ON FUNCTION radretrieval.exact_scan(integer, bit, integer, text, bigint[], integer) IS
    'The k nearest codes by comparing with every one that passes; for cnnc_nearest.';

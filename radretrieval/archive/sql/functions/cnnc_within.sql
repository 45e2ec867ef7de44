CREATE OR REPLACE FUNCTION radretrieval.cnnc_within(
    query bit, distance integer, encoder integer DEFAULT NULL, most integer DEFAULT 1000)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    x CONSTANT integer := (SELECT i.id FROM exact_index i WHERE i.encoder_id = number AND i.live);
    answer bigint;
BEGIN
    IF x IS NULL THEN
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %I c WHERE c.code <~> $1 <= $2 LIMIT $3) n', 'cnnc_' || number)
            INTO answer USING query, distance, most;
        RETURN answer;
    END IF;
    -- near cells first: there the limit is reached soonest
    EXECUTE format($$
        SELECT count(*) FROM (
            SELECT FROM (
                SELECT a.anchor, a.nearest, a.farthest, (a.code <~> $1)::int AS dq FROM exact_anchor a
                WHERE a.index_id = %2$L ORDER BY dq OFFSET 0) a,
            LATERAL (
                SELECT FROM %1$I e
                WHERE e.key BETWEEN a.anchor * 1024 + greatest(a.dq - $2, a.nearest)
                                AND a.anchor * 1024 + least(a.dq + $2, a.farthest)
                  AND e.code <~> $1 <= $2 OFFSET 0) e
            WHERE a.dq - $2 <= a.farthest AND a.dq + $2 >= a.nearest
            LIMIT $3) n
        $$, 'exact_' || x, x) INTO answer USING query, distance, most;
    RETURN answer;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_within(bit, integer, integer, integer) IS
    'How many images of the archive have a code within this distance of `query`, exactly; counting ends at `most`.';

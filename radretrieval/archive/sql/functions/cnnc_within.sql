CREATE OR REPLACE FUNCTION radretrieval.cnnc_within(
    query bit, distance integer, encoder integer DEFAULT NULL, most integer DEFAULT 1000)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp SET jit = off
SET max_parallel_workers_per_gather = 0 AS $function$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    x CONSTANT integer := exact_of(number);
    seen CONSTANT boolean := row_security_active('image');  -- policies hold: images are joined, which the index does not
    answer bigint;
BEGIN
    IF query IS NULL OR distance IS NULL THEN
        RETURN NULL;
    ELSIF length(query) <> 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a CNN code has 1000 bits, the query has ' || length(query),
            HINT = 'code_of(image) gives the code of an image.';
    ELSIF most < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'most is ' || most || '; it takes a number from 0 on', HINT = 'NULL counts to the end.';
    END IF;
    IF x IS NULL OR seen THEN
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %I c %s WHERE c.code <~> $1 <= $2 LIMIT $3) n', 'cnnc_' || number,
                       CASE WHEN seen THEN 'JOIN image i ON i.id = c.image_id' END)
            INTO answer USING query, distance, most;
        RETURN answer;
    END IF;
    -- near cells first: there the limit is reached soonest
    EXECUTE format($$
        SELECT count(*) FROM (
            SELECT FROM (
                SELECT a.anchor, a.nearest, a.farthest, (a.code <~> $1)::int AS dq FROM %3$s ORDER BY dq OFFSET 0) a,
            LATERAL (
                SELECT FROM %1$I e
                WHERE e.key BETWEEN a.anchor * 1024 + greatest(a.dq - $2, a.nearest)
                                AND a.anchor * 1024 + least(a.dq + $2, a.farthest)
                  AND e.code <~> $1 <= $2 OFFSET 0) e
            WHERE a.dq - $2 <= a.farthest AND a.dq + $2 >= a.nearest
            LIMIT $3) n
        $$, 'exact_' || x, x, format(
            CASE WHEN EXISTS (SELECT FROM exact_group g WHERE g.index_id = x)
                 THEN 'exact_group g, LATERAL (SELECT a.* FROM exact_anchor a WHERE a.index_id = %1$L'
                      ' AND a.anchor BETWEEN g.first AND g.last OFFSET 0) a'
                      ' WHERE g.index_id = %1$L AND g.code <~> $1 <= g.reach + $2'
                 ELSE 'exact_anchor a WHERE a.index_id = %1$L' END, x)) INTO answer USING query, distance, most;
    RETURN answer;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_within(bit, integer, integer, integer) IS
    'How many images of the archive have a code within this distance of `query`, exactly; counting ends at `most`.';

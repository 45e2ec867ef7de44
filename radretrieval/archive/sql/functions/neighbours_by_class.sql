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

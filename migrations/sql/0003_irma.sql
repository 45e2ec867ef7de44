-- The form of a code, in one place for the functions below; equal to radretrieval.irma.code.normalise.
-- No per cent sign stands in this file: printed for a DBA, it would be doubled.
CREATE FUNCTION radretrieval.irma_normalise(code text, wildcard boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts CONSTANT text[] := regexp_match(lower(btrim(code, E' \t\n\r\f\x0b') COLLATE "C"),
        '^([0-9a-z*]{4})-?([0-9a-z*]{3})-?([0-9a-z*]{3})-?([0-9a-z*]{3})$');
BEGIN
    IF parts IS NULL OR (NOT wildcard AND strpos(code, '*') > 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = quote_literal(code)
            || ' is not an IRMA code; the form is TTTT-DDD-AAA-BBB, 13 characters '
            || CASE WHEN wildcard THEN '0-9, a-z or *' ELSE '0-9 or a-z; * stands in predictions only' END
            || ', for example 1121-120-942-700 (the dashes may be left out)';
    END IF;
    RETURN array_to_string(parts, '-');
END
$$;

COMMENT ON FUNCTION radretrieval.irma_normalise(text, boolean) IS
    'An IRMA code in its one written form, TTTT-DDD-AAA-BBB in lower case; with wildcard => true it may hold *. '
    'Raises an error that gives the legal form for anything else; NULL for no code.';

-- A CHECK that says what is legal: the name of a constraint alone does not help who meets it.
CREATE FUNCTION radretrieval.irma_code_check(code text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF radretrieval.irma_normalise(code) COLLATE "C" <> code THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'the IRMA code ' || quote_literal(code)
            || ' must be stored in its written form, ' || radretrieval.irma_normalise(code)
            || ': radretrieval.irma_normalise() gives it';
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION radretrieval.irma_code_check(text) IS
    'True for an IRMA code as it is stored, TTTT-DDD-AAA-BBB; an error that says what is legal for anything else.';

ALTER TABLE radretrieval.image DROP CONSTRAINT image_irma_code_check;
ALTER TABLE radretrieval.image ADD CONSTRAINT image_irma_code_check CHECK (radretrieval.irma_code_check(irma_code));

-- The numbers of children stand in the function, not in irma_term: an immutable function reads no table.
CREATE FUNCTION radretrieval.irma_error("true" text, predicted text) RETURNS real
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    children CONSTANT jsonb := '{children}';
    truths CONSTANT text[] := string_to_array(radretrieval.irma_normalise("true"), '-');
    guesses CONSTANT text[] := string_to_array(radretrieval.irma_normalise(predicted, true), '-');
    truth text; guess text; axis text;
    delta float8; weight float8; wrong float8; whole float8;
    total float8 := 0;
BEGIN
    FOR a IN 1..4 LOOP
        axis := substr('TDAB', a, 1);
        truth := truths[a];
        guess := guesses[a];
        -- clutter has no right answer; a lone leading c of the B axis is the dental system
        CONTINUE WHEN truth = 'ccc' OR (axis <> 'B' AND starts_with(truth, 'c'));
        delta := 0;
        wrong := 0;
        whole := 0;
        FOR i IN 1..length(truth) LOOP
            IF delta = 0 AND substr(guess, i, 1) <> substr(truth, i, 1) THEN
                delta := CASE WHEN substr(guess, i, 1) = '*' THEN 0.5 ELSE 1 END;
            END IF;
            weight := 1.0::float8 / (coalesce((children ->> (axis || left(truth, i - 1)))::int, 1) * i);
            whole := whole + weight;
            IF delta <> 0.5 OR substr(truth, i, 1) <> '0' THEN
                wrong := wrong + delta * weight;
            END IF;
        END LOOP;
        total := total + wrong / whole;
    END LOOP;
    RETURN total / 4;
END
$$;

COMMENT ON FUNCTION radretrieval.irma_error(text, text) IS
    'How wrong a predicted IRMA code is, 0 (right) to 1: the hierarchical error of ImageCLEF 2007-2009, the mean of the '
    'four axes. The prediction may hold * (don''t know). Its sum over the test images is the score; sum it as float8, '
    'for reals are added up with seven digits.';

CREATE FUNCTION radretrieval.irma_known(code text) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT bool_and(place.digits = 'ccc' OR (place.axis <> 'B' AND starts_with(place.digits, 'c')) OR (
        -- the deepest node on the way: it is the last character, or has no children and only zeros follow
        SELECT length(t.prefix) = length(place.digits)
               OR (t.children = 0 AND ltrim(substr(place.digits, length(t.prefix) + 1), '0') = '')
        FROM radretrieval.irma_term t WHERE t.axis = place.axis AND starts_with(place.digits, t.prefix)
        ORDER BY length(t.prefix) DESC LIMIT 1))
    FROM string_to_table(radretrieval.irma_normalise(code), '-') WITH ORDINALITY part (digits, n),
         LATERAL (SELECT substr('TDAB', n::int, 1) AS axis, digits) place
$$;

COMMENT ON FUNCTION radretrieval.irma_known(text) IS
    'Whether the official tree has a code; equal to radretrieval.irma.tree.known. An error for what is no code.';

CREATE VIEW radretrieval.irma_class AS
SELECT c.irma_code, w.technique, w.direction, w.anatomy, w.biosystem, radretrieval.irma_known(c.irma_code) AS known,
       c.images, c.withdrawn, c.train, c.test, c.by_split
FROM (SELECT s.irma_code, sum(s.images)::bigint AS images, sum(s.withdrawn)::bigint AS withdrawn,
             coalesce(sum(s.images) FILTER (WHERE s.split = 'train'), 0)::bigint AS train,
             coalesce(sum(s.images) FILTER (WHERE s.split = 'test'), 0)::bigint AS test,
             jsonb_object_agg(s.split, s.images) AS by_split
      FROM (SELECT i.irma_code, coalesce(i.split, '') AS split, count(*) AS images, count(*) FILTER (WHERE i.withdrawn) AS withdrawn
            FROM radretrieval.image i WHERE i.irma_code IS NOT NULL GROUP BY 1, 2) s
      GROUP BY s.irma_code) c
LEFT JOIN LATERAL radretrieval.irma_words(c.irma_code) w ON true;

COMMENT ON VIEW radretrieval.irma_class IS
    'Each IRMA code that images have: its four axes in words and how many images of each split have it.';
COMMENT ON COLUMN radretrieval.irma_class.known IS 'Whether the code is one of the official tree.';
COMMENT ON COLUMN radretrieval.irma_class.withdrawn IS 'Images whose label its publisher took back.';
COMMENT ON COLUMN radretrieval.irma_class.by_split IS 'Images of each split, as JSON; the key '''' is no split.';

-- The form of a code, in one place for the functions below; equal to radretrieval.irma.code.normalise.
-- No per cent sign stands in this file: printed for a DBA, it would be doubled.
CREATE OR REPLACE FUNCTION radretrieval.irma_normalise(code text, wildcard boolean DEFAULT false) RETURNS text
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
CREATE OR REPLACE FUNCTION radretrieval.irma_code_check(code text) RETURNS boolean
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

-- The numbers of children stand in the function, not in irma_term: an immutable function reads no table.
CREATE OR REPLACE FUNCTION radretrieval.irma_error("true" text, predicted text) RETURNS real
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    children CONSTANT jsonb := '{"T": 10, "T1": 7, "T11": 7, "T111": 20, "T112": 19, "T114": 2, "T12": 3, "T13": 3, "T131": 4, "T132": 2, "T14": 4, "T141": 4, "T142": 2, "T15": 2, "T151": 2, "T16": 3, "T2": 9, "T21": 6, "T22": 3, "T221": 6, "T222": 6, "T23": 6, "T24": 6, "T25": 6, "T26": 6, "T27": 6, "T28": 6, "T3": 3, "T31": 9, "T311": 16, "T312": 16, "T313": 16, "T314": 16, "T315": 16, "T316": 16, "T317": 16, "T318": 16, "T4": 5, "T5": 7, "T51": 5, "T511": 3, "T512": 3, "T513": 3, "T514": 2, "T6": 4, "T7": 5, "T74": 13, "T8": 4, "T9": 13, "T91": 3, "T911": 3, "T912": 3, "T92": 3, "T93": 3, "T931": 6, "T932": 6, "T94": 3, "T95": 3, "T96": 3, "T97": 3, "T98": 3, "T981": 26, "T982": 26, "T99": 3, "T991": 26, "T992": 26, "T9a": 3, "T9a1": 26, "T9a2": 26, "T9b": 3, "T9b1": 6, "T9b2": 6, "T9c": 3, "T9c1": 3, "T9c2": 3, "D": 6, "D1": 3, "D11": 18, "D12": 18, "D2": 5, "D21": 13, "D22": 13, "D3": 3, "D31": 3, "D32": 3, "D4": 13, "D4c": 3, "A": 11, "A1": 4, "A2": 4, "A21": 25, "A22": 3, "A23": 4, "A3": 6, "A31": 12, "A32": 17, "A33": 9, "A34": 7, "A35": 2, "A4": 7, "A41": 8, "A42": 3, "A43": 9, "A44": 3, "A45": 7, "A46": 8, "A5": 7, "A51": 8, "A52": 4, "A54": 4, "A6": 3, "A61": 2, "A62": 2, "A7": 6, "A71": 4, "A72": 4, "A73": 4, "A8": 5, "A81": 2, "A83": 2, "A84": 3, "A9": 7, "A91": 12, "A92": 3, "A93": 7, "A94": 4, "A95": 7, "A96": 3, "Aa": 4, "B": 18, "B1": 4, "B11": 11, "B12": 7, "B13": 8, "B2": 4, "B21": 8, "B22": 12, "B23": 7, "B3": 15, "B4": 11, "B41": 5, "B42": 6, "B43": 6, "B44": 6, "B45": 6, "B48": 6, "B49": 3, "B4a": 5, "B5": 5, "B51": 3, "B6": 3, "B61": 5, "B62": 6, "B7": 30, "B71": 3, "B72": 3, "B73": 3, "B74": 3, "B75": 3, "B76": 3, "B77": 3, "B78": 3, "B79": 3, "B7a": 3, "B7b": 3, "B7c": 3, "B7d": 3, "B7e": 3, "B7f": 3, "B7g": 3, "B7h": 3, "B7i": 3, "B7j": 3, "B7k": 3, "B7l": 3, "B7m": 3, "B7n": 3, "B7o": 3, "B7p": 3, "B7q": 3, "B7r": 3, "B7s": 3, "B7t": 3, "B8": 9, "B9": 12, "B98": 2, "Ba": 2, "Ba1": 3, "Bc": 4, "Bd": 6, "Bd2": 9, "Bd3": 9, "Bd4": 9, "Bd5": 9, "Be": 6, "Be2": 9, "Be3": 9, "Be4": 9, "Be5": 9, "Bf": 6, "Bf2": 9, "Bf3": 9, "Bf4": 9, "Bf5": 9, "Bg": 6, "Bg2": 9, "Bg3": 9, "Bg4": 9, "Bg5": 9, "Bh": 6, "Bh2": 9, "Bh3": 9, "Bh4": 9, "Bh5": 9}';
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

CREATE OR REPLACE FUNCTION radretrieval.irma_known(code text) RETURNS boolean
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

CREATE OR REPLACE VIEW radretrieval.irma_class AS
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

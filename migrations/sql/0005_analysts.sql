-- Questions of analysts as functions and views. No per cent sign and no colon before a word stands here.

CREATE OR REPLACE FUNCTION radretrieval.encoder_number(encoder integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := coalesce(encoder, (SELECT e.id FROM encoder e WHERE e.active));
    known CONSTANT text := (SELECT string_agg(e.id::text, ', ' ORDER BY e.id) FROM encoder e);
BEGIN
    IF known IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the archive has no encoder yet; run: radretrieval train, then: radretrieval work --once';
    ELSIF number IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'no encoder is active; name one (' || known || ') or run: radretrieval encoder activate ID';
    ELSIF NOT EXISTS (SELECT FROM encoder e WHERE e.id = number) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the archive has no encoder ' || number || '; it has: ' || known;
    END IF;
    RETURN number;
END
$$;

COMMENT ON FUNCTION radretrieval.encoder_number(integer) IS
    'The encoder that is meant: the given one, or the active one for NULL. An error that names those there are for an '
    'unknown one.';

-- The number of bins is that of radretrieval.coding.radon.bins: the diagonal of the image, rounded up.
CREATE OR REPLACE FUNCTION radretrieval.encoder_geometry(encoder integer) RETURNS smallint
LANGUAGE sql STABLE STRICT SET search_path = radretrieval, public, pg_temp AS $$
    SELECT g.id FROM encoder e CROSS JOIN LATERAL (
        SELECT (e.profile #>> '{barcode,size}')::int AS size, (e.profile #>> '{barcode,angles}')::int AS angles,
               e.profile #>> '{barcode,rule}' AS rule) p
    JOIN geometry g ON g.size = p.size AND g.angles = p.angles AND g.rule = p.rule
                   AND g.bins = ceil(sqrt(2.0::float8 * p.size * p.size))
    WHERE e.id = encoder_geometry.encoder
$$;

COMMENT ON FUNCTION radretrieval.encoder_geometry(integer) IS
    'The geometry (geometry.id) of the barcodes that go with an encoder, by its profile; NULL while the archive has none of'
    ' them.';

-- Which of the reasons it is that an image cannot be asked for, and what to do.
CREATE OR REPLACE FUNCTION radretrieval.why_no_code(image bigint, encoder integer DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    again CONSTANT text := 'radretrieval work --once --encoder ' || number;
    failure record;
BEGIN
    IF image IS NULL OR NOT EXISTS (SELECT FROM image i WHERE i.id = why_no_code.image) THEN
        RETURN 'the archive has no image ' || coalesce(image::text, 'NULL') || '; radretrieval.image lists those there are';
    END IF;
    IF EXISTS (SELECT FROM cnnc c WHERE c.encoder_id = number AND c.image_id = why_no_code.image) THEN
        IF EXISTS (SELECT FROM barcode b WHERE b.geometry_id = encoder_geometry(number) AND b.image_id = why_no_code.image) THEN
            RETURN NULL;
        END IF;
        RETURN 'image ' || image || ' has a code of encoder ' || number || ' but no barcode of its geometry; delete its row of '
            || 'radretrieval.cnnc, then run: ' || again;
    END IF;
    SELECT f.error, f.message, f.attempts INTO failure FROM coding_failure f
    WHERE f.encoder_id = number AND f.image_id = why_no_code.image;
    IF FOUND THEN
        RETURN 'image ' || image || ' could not be coded by encoder ' || number || ' (' || failure.attempts || ' attempts; '
            || failure.error || ', ' || failure.message || '); mend its file, then run: ' || again;
    END IF;
    RETURN 'image ' || image || ' has no code of encoder ' || number || ' yet; run: ' || again;
END
$$;

COMMENT ON FUNCTION radretrieval.why_no_code(bigint, integer) IS
    'Why an image cannot be asked for - unknown, not coded yet, failed, without barcode - and what to do; NULL if it can.';

CREATE OR REPLACE FUNCTION radretrieval.code_of(image bigint, encoder integer DEFAULT NULL) RETURNS bit
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    answer bit(1000);
BEGIN
    SELECT c.code INTO answer FROM cnnc c WHERE c.encoder_id = number AND c.image_id = image;
    IF answer IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = why_no_code(image, number);
    END IF;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION radretrieval.code_of(bigint, integer) IS
    'The CNN code of an image, 1000 bits, by an encoder (NULL: the active one). An error that says why where it has none.';

CREATE OR REPLACE FUNCTION radretrieval.barcode_of(image bigint, encoder integer DEFAULT NULL) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    answer bytea;
BEGIN
    SELECT b.code INTO answer FROM barcode b WHERE b.geometry_id = encoder_geometry(number) AND b.image_id = image;
    IF answer IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = why_no_code(image, number);
    END IF;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION radretrieval.barcode_of(bigint, integer) IS
    'The Radon barcode of an image, packed, by the geometry of an encoder (NULL: the active one). An error that says why '
    'where it has none.';

CREATE OR REPLACE FUNCTION radretrieval.filter_without(filter jsonb, image bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(filter, '{}') || jsonb_build_object('not_image',
        coalesce(nullif(filter -> 'not_image', 'null'), '[]') || to_jsonb(image))
$$;

COMMENT ON FUNCTION radretrieval.filter_without(jsonb, bigint) IS
    'A filter of cnnc_nearest that leaves one more image out.';

CREATE OR REPLACE FUNCTION radretrieval.similar_to(code bit, k integer DEFAULT 10, encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, distance integer, path text, irma_code text, uri text)
LANGUAGE sql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT row_number() OVER (ORDER BY n.distance, n.image_id)::int, n.image_id, n.distance, n.path, i.irma_code, i.uri
    FROM (SELECT c.image_id, c.distance, c.path
          FROM cnnc_nearest(similar_to.code, similar_to.k, similar_to.encoder, similar_to.filter) c
          ORDER BY c.distance, c.image_id LIMIT greatest(similar_to.k, 1)) n
    JOIN image i ON i.id = n.image_id
    ORDER BY n.distance, n.image_id
$$;

COMMENT ON FUNCTION radretrieval.similar_to(bit, integer, integer, jsonb) IS
    'The k images (1 to 1000000) whose CNN codes are nearest to a code of 1000 bits, exactly: rank from 1, distance in bits'
    ' (0 to 1000), the way that cnnc_nearest took, IRMA code and URI. Ties are cut by image id. encoder: NULL for the '
    'active one; filter: as of cnnc_nearest.';

CREATE OR REPLACE FUNCTION radretrieval.similar(image bigint, k integer DEFAULT 10, encoder integer DEFAULT NULL,
                                     filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, distance integer, path text, irma_code text, uri text)
LANGUAGE sql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT s.rank, s.image_id, s.distance, s.path, s.irma_code, s.uri
    FROM similar_to(code_of(image, encoder), k, encoder, filter_without(filter, image)) s
    ORDER BY s.rank
$$;

COMMENT ON FUNCTION radretrieval.similar(bigint, integer, integer, jsonb) IS
    'The k images (1 to 1000000) most like one of the archive by CNN code, never itself, exactly: rank from 1, distance in '
    'bits (0 to 1000), the way that cnnc_nearest took, IRMA code and URI. Ties are cut by image id. encoder: NULL for the '
    'active one; filter: as of cnnc_nearest. An image that is unknown or has no code is an error that says what to do.';

-- bytea has no XOR. Of the ways to make bits of it, the one through hexadecimal digits is the fastest that SQL has -
-- 10 microseconds a pair of 544 bytes, 4 times faster than by eight bytes, 7 times faster than by single ones.
CREATE OR REPLACE FUNCTION radretrieval.rbc_distance(a bytea, b bytea) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100 AS $$
BEGIN
    IF octet_length(a) <> octet_length(b) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'barcodes of ' || octet_length(a) || ' and '
            || octet_length(b) || ' bytes cannot be compared: they are of two geometries';
    END IF;
    RETURN bit_count(('x' || encode(a, 'hex'))::varbit # ('x' || encode(b, 'hex'))::varbit);
END
$$;

COMMENT ON FUNCTION radretrieval.rbc_distance(bytea, bytea) IS
    'In how many bits two Radon barcodes of one geometry differ, 0 to 8 times their bytes; an error for unequal lengths.';

CREATE OR REPLACE FUNCTION radretrieval.image_distance(image bigint, other bigint, encoder integer DEFAULT NULL)
RETURNS TABLE (cnnc_distance integer, rbc_distance integer, irma_error real)
LANGUAGE sql STABLE ROWS 1 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT (code_of(image_distance.image, encoder) <~> code_of(image_distance.other, encoder))::int,
           rbc_distance(barcode_of(image_distance.image, encoder), barcode_of(image_distance.other, encoder)),
           irma_error(i.irma_code, o.irma_code)
    FROM image i, image o WHERE i.id = image_distance.image AND o.id = image_distance.other
$$;

COMMENT ON FUNCTION radretrieval.image_distance(bigint, bigint, integer) IS
    'How unlike two images are: bits of their CNN codes (0 to 1000) and of their barcodes that differ, by one encoder '
    '(NULL: the active one), and the IRMA error (0 to 1) of the second one''s class as an answer for the first; NULL where '
    'one has no class.';

CREATE OR REPLACE FUNCTION radretrieval.retrieve_by(code bit, barcode bytea, top integer DEFAULT 10, candidates integer DEFAULT 50,
                                         encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, cnnc_distance integer, rbc_distance integer, irma_code text, uri text)
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    geometry CONSTANT smallint := encoder_geometry(number);
BEGIN
    IF top IS NULL OR candidates IS NULL OR top < 1 OR candidates < top THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'top is ' || coalesce(top::text, 'NULL')
            || ' and candidates ' || coalesce(candidates::text, 'NULL')
            || '; hits are candidates, so that 1 <= top <= candidates';
    ELSIF code IS NULL OR barcode IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a query needs its CNN code and its barcode; code_of() and barcode_of() give those of an image';
    END IF;
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY r.rbc, r.distance, r.image_id)::int, r.image_id, r.distance, r.rbc, i.irma_code, i.uri
        FROM (SELECT n.image_id, n.distance, rbc_distance(retrieve_by.barcode, b.code) AS rbc
              FROM cnnc_nearest(retrieve_by.code, candidates, number, filter) n
              JOIN barcode b ON b.geometry_id = geometry AND b.image_id = n.image_id
              ORDER BY rbc, n.distance, n.image_id LIMIT top) r
        JOIN image i ON i.id = r.image_id
        ORDER BY r.rbc, r.distance, r.image_id;
END
$$;

COMMENT ON FUNCTION radretrieval.retrieve_by(bit, bytea, integer, integer, integer, jsonb) IS
    'The two-stage query: the nearest CNN codes to `code` (candidates, and those that tie with the last of them), put into '
    'the order of their barcodes'' distance to `barcode`; the first `top` of them, 1 to candidates. Order: rbc_distance, '
    'cnnc_distance, image_id. Candidates without barcode of the encoder''s geometry are left out. encoder: NULL for the '
    'active one; filter: as of cnnc_nearest. Source: Liu, Tizhoosh and Kofman (2016), section 3.3.';

CREATE OR REPLACE FUNCTION radretrieval.retrieve(image bigint, top integer DEFAULT 10, candidates integer DEFAULT 50,
                                      encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, cnnc_distance integer, rbc_distance integer, irma_code text, uri text)
LANGUAGE sql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
    SELECT r.rank, r.image_id, r.cnnc_distance, r.rbc_distance, r.irma_code, r.uri
    FROM retrieve_by(code_of(retrieve.image, retrieve.encoder), barcode_of(retrieve.image, retrieve.encoder), retrieve.top,
                     retrieve.candidates, retrieve.encoder, filter_without(retrieve.filter, retrieve.image)) r
    ORDER BY r.rank
$$;

COMMENT ON FUNCTION radretrieval.retrieve(bigint, integer, integer, integer, jsonb) IS
    'The two-stage query of an image of the archive, never itself: the nearest `candidates` by CNN code (and those that tie'
    ' with the last), re-ranked by barcode, the first `top` of them. Order: rbc_distance, cnnc_distance, image_id. encoder:'
    ' NULL for the active one; filter: as of cnnc_nearest. An image that is unknown or not coded is an error that says what'
    ' to do.';

CREATE OR REPLACE VIEW radretrieval.coverage AS
SELECT i.split, i.modality, i.body_part, i.irma_code, count(*) AS images, count(c.image_id) AS coded,
       count(b.image_id) AS barcoded, count(f.image_id) FILTER (WHERE c.image_id IS NULL) AS failed,
       count(*) - count(c.image_id) AS pending
FROM radretrieval.image i
LEFT JOIN radretrieval.cnnc c
    ON c.encoder_id = (SELECT e.id FROM radretrieval.encoder e WHERE e.active) AND c.image_id = i.id
LEFT JOIN radretrieval.barcode b
    ON b.geometry_id = (SELECT radretrieval.encoder_geometry(e.id) FROM radretrieval.encoder e WHERE e.active)
   AND b.image_id = i.id
LEFT JOIN radretrieval.coding_failure f
    ON f.encoder_id = (SELECT e.id FROM radretrieval.encoder e WHERE e.active) AND f.image_id = i.id
GROUP BY i.split, i.modality, i.body_part, i.irma_code;

COMMENT ON VIEW radretrieval.coverage IS
    'How far the active encoder has come: images of each split, modality, body part and IRMA code, and how many are coded. '
    'With no active encoder everything is pending.';

CREATE OR REPLACE VIEW radretrieval.pending AS
SELECT i.id AS image_id, e.id AS encoder_id, i.uri, i.split, i.ingested_at, now() - i.ingested_at AS waiting,
       f.error, f.message, f.attempts, f.last_at AS failed_at
FROM radretrieval.image i
LEFT JOIN radretrieval.encoder e ON e.active
LEFT JOIN radretrieval.coding_failure f ON f.encoder_id = e.id AND f.image_id = i.id
WHERE NOT EXISTS (SELECT FROM radretrieval.cnnc c
                  WHERE c.encoder_id = (SELECT a.id FROM radretrieval.encoder a WHERE a.active) AND c.image_id = i.id);

COMMENT ON VIEW radretrieval.pending IS
    'Images that have no code of the active encoder: since when, and what went wrong last if something did.';

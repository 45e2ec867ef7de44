DROP FUNCTION IF EXISTS radretrieval.retrieve_by(bit, bytea, integer, integer, integer, jsonb);
CREATE OR REPLACE FUNCTION radretrieval.retrieve_by(code bit, barcode bytea, top integer DEFAULT 10, candidates integer DEFAULT 50,
                                         encoder integer DEFAULT NULL, filter jsonb DEFAULT '{}')
RETURNS TABLE (rank integer, image_id bigint, cnnc_distance integer, rbc_distance integer, irma_code text, uri text,
               patient_key text, study_instance_uid text, study_date date, modality text, body_part text,
               view_position text, laterality text, probability double precision, probability_t double precision,
               probability_d double precision, probability_a double precision, probability_b double precision,
               nothing_similar boolean)
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    geometry CONSTANT smallint := encoder_geometry(number);
    weights record;
    -- NULL for an encoder that states no probabilities; curves NULL where what agrees agrees by the filter
    calibration CONSTANT jsonb := (SELECT e.calibration FROM encoder e WHERE e.id = number);
    curves CONSTANT jsonb := CASE WHEN NOT filter ?| ARRAY['irma_code', 'sql'] THEN calibration -> 'curves' END;
BEGIN
    IF top IS NULL OR candidates IS NULL OR top < 1 OR candidates < top THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'top is ' || coalesce(top::text, 'NULL')
            || ' and candidates ' || coalesce(candidates::text, 'NULL')
            || '; hits are candidates, so that 1 <= top <= candidates';
    ELSIF code IS NULL OR barcode IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a query needs its CNN code and its barcode; code_of() and barcode_of() give those of an image';
    END IF;
    -- as radretrieval.coding.rerank.Weights has them: whole numbers, so that both agree on every tie
    SELECT p.percent * g.angles * g.bins AS cnnc, (100 - p.percent) * p.code_bits AS rbc,
           p.code_bits::double precision AS cnnc_bits, (g.angles * g.bins)::double precision AS rbc_bits INTO weights
    FROM encoder e CROSS JOIN LATERAL (
        SELECT coalesce((e.profile #>> '{query,cnnc_percent}')::bigint, 0) AS percent,
               (e.profile #>> '{network,code_bits}')::bigint AS code_bits) p
    CROSS JOIN geometry g
    WHERE e.id = number AND g.id = geometry;
    RETURN QUERY
        WITH found AS MATERIALIZED (
            SELECT n.image_id, n.distance, rbc_distance(retrieve_by.barcode, b.code) AS rbc
            FROM cnnc_nearest(retrieve_by.code, candidates, number, filter) n
            JOIN barcode b ON b.geometry_id = geometry AND b.image_id = n.image_id
        ), near AS (  -- as radretrieval.coding.calibration.mean_distance
            SELECT sum(f.distance) / (count(*) * weights.cnnc_bits) > (calibration ->> 'far')::double precision AS nothing
            FROM (SELECT f.distance FROM found f ORDER BY f.distance LIMIT 3) f
        ), ranked AS (
            SELECT row_number() OVER (ORDER BY weights.cnnc * f.distance + weights.rbc * f.rbc, f.rbc, f.distance, f.image_id)::int
                       AS rank, f.*
            FROM found f ORDER BY 1 LIMIT greatest(top, 10)
        ), hits AS (
            SELECT r.rank, r.distance, r.rbc, i.id, i.irma_code, i.study_instance_uid, i.study_date, i.modality, i.body_part,
                   i.view_position, i.laterality, split_part(i.irma_code, '-', 1) AS t, split_part(i.irma_code, '-', 2) AS d,
                   split_part(i.irma_code, '-', 3) AS a, split_part(i.irma_code, '-', 4) AS b
            FROM ranked r JOIN image i ON i.id = r.image_id
        ), agreement AS (  -- of the first ten hits with a code, the share with the hit's own
            SELECT h.rank, ARRAY[x.own, x.t, x.d, x.a, x.b]::double precision[] AS shares
            FROM hits h CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE o.irma_code = h.irma_code) / greatest(count(*), 1)::double precision AS own,
                       count(*) FILTER (WHERE o.t = h.t) / greatest(count(*), 1)::double precision AS t,
                       count(*) FILTER (WHERE o.d = h.d) / greatest(count(*), 1)::double precision AS d,
                       count(*) FILTER (WHERE o.a = h.a) / greatest(count(*), 1)::double precision AS a,
                       count(*) FILTER (WHERE o.b = h.b) / greatest(count(*), 1)::double precision AS b
                FROM hits o WHERE o.rank <= 10 AND o.irma_code IS NOT NULL) x
            WHERE h.rank <= top AND h.irma_code IS NOT NULL AND curves IS NOT NULL AND NOT (SELECT n.nothing FROM near n)
        )
        SELECT h.rank, h.id, h.distance, h.rbc, h.irma_code, m.uri, m.patient_key, h.study_instance_uid, h.study_date,
               h.modality, h.body_part, h.view_position, h.laterality, p.own, greatest(p.own, p.t), greatest(p.own, p.d),
               greatest(p.own, p.a), greatest(p.own, p.b), (SELECT n.nothing FROM near n)
        FROM hits h JOIN image_readable(ARRAY(SELECT o.id FROM hits o)) m ON m.image_id = h.id
        LEFT JOIN agreement g ON g.rank = h.rank
        LEFT JOIN LATERAL (SELECT h.distance / weights.cnnc_bits AS cnnc, h.rbc / weights.rbc_bits AS rbc) s ON true
        LEFT JOIN LATERAL (
            SELECT calibrated(curves -> 'code', ARRAY[g.shares[1], s.cnnc, s.rbc]) AS own,
                   calibrated(curves -> 'T', ARRAY[g.shares[2], s.cnnc, s.rbc]) AS t,
                   calibrated(curves -> 'D', ARRAY[g.shares[3], s.cnnc, s.rbc]) AS d,
                   calibrated(curves -> 'A', ARRAY[g.shares[4], s.cnnc, s.rbc]) AS a,
                   calibrated(curves -> 'B', ARRAY[g.shares[5], s.cnnc, s.rbc]) AS b
            WHERE g.rank IS NOT NULL) p ON true
        WHERE h.rank <= top ORDER BY h.rank;
END
$$;

COMMENT ON FUNCTION radretrieval.retrieve_by(bit, bytea, integer, integer, integer, jsonb) IS
    'The two-stage query: the nearest CNN codes to `code` (candidates, and those that tie with the last of them), put into '
    'the order that the encoder''s profile says, by both distances; the first `top` of them, 1 to candidates. Order: '
    'p * cnnc_distance / 1000 bits + (100 - p) * rbc_distance / bits of a barcode, where p is the profile''s '
    '{query,cnnc_percent}, 0 where it has none (the paper''s order, by barcode alone); ties by rbc_distance, cnnc_distance, '
    'image_id. Candidates without barcode of the encoder''s geometry are left out. encoder: NULL for the active one; filter: '
    'as of cnnc_nearest. probability: that the hit''s IRMA code is the query''s, probability_t to probability_b: that an axis '
    'of it is; by the encoder''s calibration, as search calculates them. NULL for an encoder without one, for a hit without a '
    'code, where there is nothing similar, and with a filter by irma_code or sql. nothing_similar: the three nearest codes are '
    'farther than can be expected. Source: Liu, Tizhoosh and Kofman (2016), section 3.3.';

-- The same operations in the same order as radretrieval.coding.calibration.Curve, so that both give the same number.
CREATE OR REPLACE FUNCTION radretrieval.calibrated(curve jsonb, features double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    weights CONSTANT double precision[] := ARRAY(SELECT w::double precision FROM jsonb_array_elements_text(curve -> 'weights') w);
    knots CONSTANT double precision[] := ARRAY(SELECT s::double precision FROM jsonb_array_elements_text(curve -> 'scores') s);
    heights CONSTANT double precision[] := ARRAY(SELECT v::double precision FROM jsonb_array_elements_text(curve -> 'values') v);
    score double precision := weights[1];
    l integer;  -- the last knot that is not greater
BEGIN
    FOR place IN 1 .. cardinality(features) LOOP
        score := score + weights[place + 1] * features[place];
    END LOOP;
    l := width_bucket(score, knots);
    IF l = 0 OR l = cardinality(knots) THEN
        RETURN heights[greatest(l, 1)];
    END IF;
    RETURN heights[l] + (score - knots[l]) / (knots[l + 1] - knots[l]) * (heights[l + 1] - heights[l]);
END
$$;

COMMENT ON FUNCTION radretrieval.calibrated(jsonb, double precision[]) IS
    'A curve of encoder.calibration at some features: the weighted sum of them, weights[1] + weights[2] * features[1] + …, '
    'and the value at it, by linear interpolation between the knots scores and values; constant outside them.';

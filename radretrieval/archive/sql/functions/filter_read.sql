CREATE OR REPLACE FUNCTION radretrieval.filter_read(filter jsonb) RETURNS radretrieval.filter_parts
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    got filter_parts;
    facets text[];
    tests text[];
    images text[];
    key text;
    value jsonb;
    known record;
    wrong text;
BEGIN
    got.not_images := '{}';
    got.most := 1000;
    IF filter = '{}' THEN
        RETURN got;
    END IF;
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a filter is a JSON object, as {"modality": "CR"}, and not ' || filter::text,
            HINT = 'NULL and {} leave nothing out. The section Filters of docs/sql.md lists the members.';
    END IF;
    FOR key, value IN SELECT * FROM jsonb_each(coalesce(filter, '{}')) LOOP
        SELECT * INTO known FROM filter_columns() c WHERE c.name = key;
        IF FOUND THEN
            IF known.facet THEN
                facets := facets || filter_condition(format('f.%I', key), known.kind, value);
                images := images || filter_condition(format('i.%I', key), known.kind, value);
            ELSE
                tests := tests || filter_condition(format('i.%I', key), known.kind, value);
            END IF;
        ELSIF key = 'not_image' THEN
            value := CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END;
            SELECT v INTO wrong FROM jsonb_array_elements(value) v WHERE v #>> '{}' !~ '^[0-9]{1,18}$' LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter not_image cannot be ' || wrong
                    || '; it is the id of an image, or a list of ids', HINT = 'The column id of radretrieval.image has them.';
            END IF;
            got.not_images := array(SELECT v::bigint FROM jsonb_array_elements_text(value) v WHERE v IS NOT NULL);
        ELSIF key = 'not_patient' AND jsonb_typeof(value) IN ('string', 'null') THEN
            IF value #>> '{}' IS NOT NULL THEN  -- else of no patient
                tests := tests || format('i.patient_key IS DISTINCT FROM %L', value #>> '{}');
            END IF;
        ELSIF key = 'one_per' AND value #>> '{}' IN ('patient', 'study') THEN
            got.one_per := CASE value #>> '{}' WHEN 'patient' THEN 'patient_key' ELSE 'study_instance_uid' END;
        ELSIF key = 'max_distance' AND jsonb_typeof(value) = 'number' AND (value #>> '{}')::numeric >= 0 THEN
            got.most := floor(least((value #>> '{}')::numeric, 1000))::int;
        ELSIF key = 'sql' AND jsonb_typeof(value) IN ('string', 'null') THEN
            tests := tests || coalesce(filter_sql(value #>> '{}'), 'true');
        ELSIF key IN ('not_patient', 'sql', 'one_per', 'max_distance') THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the filter ' || key || ' cannot be ' || value
                || '; it is ' || CASE key WHEN 'one_per' THEN '"patient" or "study"'
                                          WHEN 'max_distance' THEN 'a number from 0 to 1000'
                                          WHEN 'sql' THEN 'a condition on image i, as "i.rows > 2000"'
                                          ELSE 'one patient_key, as a string' END,
                HINT = 'The section Filters of docs/sql.md lists the members of a filter.';
        ELSE
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a filter cannot name ' || quote_literal(key)
                || '; the columns are: ' || (SELECT string_agg(c.name, ', ') FROM filter_columns() c),
                HINT = 'Besides columns it takes not_image, not_patient, one_per, max_distance and, for those who may, sql.';
        END IF;
    END LOOP;
    got.facets := array_to_string(facets, ' AND ');
    got.tests := array_to_string(tests, ' AND ');
    got.images := array_to_string(images || tests, ' AND ');
    RETURN got;
END
$$;

COMMENT ON FUNCTION radretrieval.filter_read(jsonb) IS 'A filter, checked, as cnnc_nearest uses it.';

CREATE OR REPLACE FUNCTION radretrieval.cnnc_matched(encoder integer, filter jsonb, most integer DEFAULT 10000)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp SET jit = off AS $function$
DECLARE
    wanted CONSTANT filter_parts := filter_read(filter);
    number CONSTANT integer := encoder_number(encoder);
    x CONSTANT integer := exact_of(number);
    matching integer[];
    answer bigint;
BEGIN
    IF most < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'most is ' || most || '; it takes a number from 0 on', HINT = 'NULL counts to the end.';
    END IF;
    IF x IS NOT NULL AND wanted.tests IS NULL AND wanted.facets IS NOT NULL AND NOT row_security_active('image') THEN
        EXECUTE format('SELECT array_agg(f.id) FROM facet f WHERE %s', wanted.facets) INTO matching;
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %I e WHERE e.facet_id = ANY ($1) AND e.image_id <> ALL ($2) LIMIT $3) m',
                       'exact_' || x) INTO answer USING matching, wanted.not_images, most;
    ELSE
        EXECUTE format('SELECT count(*) FROM (SELECT FROM image i JOIN %I c ON c.image_id = i.id AND c.encoder_id = %L'
                       ' WHERE %s AND i.id <> ALL ($1) LIMIT $2) m',
                       'cnnc_' || number, number, coalesce(wanted.images, 'true'))
            INTO answer USING wanted.not_images, most;
    END IF;
    RETURN answer;
END
$function$;

COMMENT ON FUNCTION radretrieval.cnnc_matched(integer, jsonb, integer) IS
    'How many coded images pass a filter of cnnc_nearest (its max_distance and one_per apart); counting ends at `most`.';

-- Where the first pass met images whose facets were new, the source is read again, less what is in the index already.
CREATE OR REPLACE FUNCTION radretrieval.exact_not_put(index_id integer, image_ids bigint[], missing bigint) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    left_out bigint[];
BEGIN
    EXECUTE format('SELECT array_agg(u) FROM unnest($1) u WHERE NOT EXISTS (SELECT FROM %I e WHERE e.image_id = u)',
                   'exact_' || index_id) INTO left_out USING image_ids;
    IF cardinality(left_out) <> missing THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = 'the exact index ' || index_id
            || ' has codes of some of these images already; radretrieval index check tells more';
    END IF;
    PERFORM exact_facets(left_out);
    RETURN left_out;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_not_put(integer, bigint[], bigint) IS
    'Which of these images an exact index has not yet; the facets of those are there afterwards. For its triggers.';

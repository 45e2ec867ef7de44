CREATE OR REPLACE FUNCTION radretrieval.exact_none_missing(index_id integer, missing bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF missing > 0 THEN
        -- an image, a facet or an anchor that this transaction's snapshot does not show
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = missing || ' codes could not be put into the exact index ' || index_id
                || ', for their images or its anchors are not those that were told of; try again';
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_none_missing(integer, bigint) IS
    'An error where codes could not be put into an exact index. For its triggers.';

CREATE OR REPLACE PROCEDURE radretrieval.fill_neighbours(
    k integer DEFAULT 10, encoder integer DEFAULT NULL, again boolean DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
    number CONSTANT integer := radretrieval.encoder_number(encoder);
    since CONSTANT timestamptz := CASE WHEN again THEN clock_timestamp() ELSE '-infinity' END;
    wanted bigint;
    reached bigint := -1;
BEGIN
    IF k IS NULL OR k < 1 OR k > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'k is ' || coalesce(k::text, 'NULL') || '; a graph of neighbours takes a number from 1 to 1000';
    END IF;
    wanted := least(k, (SELECT count(*) - 1 FROM radretrieval.cnnc c WHERE c.encoder_id = number));
    COMMIT;
    LOOP
        reached := radretrieval.fill_neighbours_batch(number, k, wanted, reached, since);
        COMMIT;
        EXIT WHEN reached IS NULL;
    END LOOP;
END
$$;

COMMENT ON PROCEDURE radretrieval.fill_neighbours(integer, integer, boolean) IS
    'Fills the table neighbour: the k nearest images (1 to 1000) of every image with a code of an encoder (NULL: the active'
    ' one), exactly. CALL it outside a transaction: it commits every 2000 images, and another CALL goes on where one was '
    'ended. Images that have k rows already are left as they are, so that new images get rows, but do not come into older '
    'ones; again => true finds all rows anew, batch by batch.';

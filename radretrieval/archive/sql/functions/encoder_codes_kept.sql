-- In place of a foreign key of cnnc, which would cost each code a look-up that the bounds of its partition make needless: where there
-- is a partition there is its encoder. Who writes codes holds the partition, so that it cannot go before them.
CREATE OR REPLACE FUNCTION radretrieval.encoder_codes_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    lone record;
BEGIN
    SELECT p.number, p.name INTO lone FROM (
        SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM '[0-9]+')::int AS number, c.oid::regclass AS name
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'radretrieval.cnnc'::regclass) p
    WHERE NOT EXISTS (SELECT FROM encoder e WHERE e.id = p.number) ORDER BY p.number LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            MESSAGE = 'encoder ' || lone.number || ' is needed by its codes, the table ' || lone.name,
            HINT = 'radretrieval encoder delete ' || lone.number || ' deletes both.';
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.encoder_codes_kept() IS
    'Refuses to delete an encoder, or to give it another number, while cnnc has a partition of it; for its trigger.';

-- A row that is inserted and deleted: until the transaction ends, another that inserts it waits, and none is left afterwards.
CREATE OR REPLACE FUNCTION radretrieval.lock_contents(contents bytea[], seconds double precision) RETURNS boolean
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    own CONSTANT text := current_setting('lock_timeout');
    names CONSTANT text[] := ARRAY(SELECT DISTINCT encode(u, 'hex') COLLATE "C" FROM unnest(contents) u ORDER BY 1);
BEGIN
    IF own = '0' THEN
        PERFORM set_config('lock_timeout', ceil(seconds * 1000)::text, true);
    END IF;
    INSERT INTO write_lock (name) SELECT u FROM unnest(names) u;  -- in one order, so that none waits in a ring
    DELETE FROM write_lock w WHERE w.name = ANY (names);
    PERFORM set_config('lock_timeout', own, true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    IF own <> '0' THEN  -- the limit of the site
        RAISE;
    END IF;
    RETURN false;
END
$$;

COMMENT ON FUNCTION radretrieval.lock_contents(bytea[], double precision) IS
    'Takes the lock of each of these SHA-256 until the transaction ends; false where another transaction has one for so many '
    'seconds.';

-- A row lock: FOR UPDATE needs the right to update the table, which a role that only reads has not.
CREATE OR REPLACE FUNCTION radretrieval.lock_named(wanted text, seconds double precision) RETURNS boolean
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    own CONSTANT text := current_setting('lock_timeout');
BEGIN
    IF own = '0' OR seconds = 0 THEN
        PERFORM set_config('lock_timeout', greatest(ceil(seconds * 1000), 1)::text, true);
    END IF;
    LOOP
        PERFORM FROM write_lock w WHERE w.name = wanted FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO write_lock (name) VALUES (wanted) ON CONFLICT DO NOTHING;
    END LOOP;
    PERFORM set_config('lock_timeout', own, true);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    IF own <> '0' AND seconds > 0 THEN  -- the limit of the site
        RAISE;
    END IF;
    RETURN false;
END
$$;

COMMENT ON FUNCTION radretrieval.lock_named(text, double precision) IS
    'Takes the lock of this name until the transaction ends; false where another transaction has it for so many seconds.';

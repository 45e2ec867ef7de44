-- A transaction with one snapshot for all its statements would not see an index that was begun, or a code that was
-- written, after it took that snapshot.
CREATE OR REPLACE FUNCTION radretrieval.exact_writer_sees() RETURNS void
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    -- a sequence is read without a snapshot: it tells whether an index was ever begun
    IF current_setting('transaction_isolation') <> 'read committed' AND (SELECT s.is_called FROM exact_index_id_seq s) THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'codes, and labels of images, are written in READ COMMITTED transactions only, not in '
                || upper(current_setting('transaction_isolation')) || ' ones: an exact index might miss them',
            HINT = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, first in the transaction.';
    END IF;
END
$$;

COMMENT ON FUNCTION radretrieval.exact_writer_sees() IS
    'An error where a transaction might not see which exact indexes there are. For their triggers.';

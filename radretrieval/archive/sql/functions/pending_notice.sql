-- Workers sleep on LISTEN radretrieval_pending; new images and a new active encoder wake them.
CREATE OR REPLACE FUNCTION radretrieval.pending_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY radretrieval_pending;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION radretrieval.pending_notice() IS
    'Wakes the workers, who LISTEN to radretrieval_pending, when images or an active encoder come.';

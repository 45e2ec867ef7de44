-- Workers sleep on LISTEN radretrieval_pending; new images and a new active encoder wake them.
CREATE OR REPLACE FUNCTION radretrieval.pending_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY radretrieval_pending;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER pending_notice AFTER INSERT ON radretrieval.image
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.pending_notice();

CREATE OR REPLACE TRIGGER pending_notice AFTER INSERT OR UPDATE OF active ON radretrieval.encoder
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.pending_notice();

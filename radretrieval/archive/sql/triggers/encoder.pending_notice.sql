CREATE OR REPLACE TRIGGER pending_notice AFTER INSERT OR UPDATE OF active ON radretrieval.encoder
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.pending_notice();

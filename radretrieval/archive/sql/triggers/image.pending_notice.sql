CREATE OR REPLACE TRIGGER pending_notice AFTER INSERT OR UPDATE OF hidden_at ON radretrieval.image
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.pending_notice();

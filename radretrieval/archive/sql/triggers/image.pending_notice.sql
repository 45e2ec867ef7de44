CREATE OR REPLACE TRIGGER pending_notice AFTER INSERT ON radretrieval.image
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.pending_notice();

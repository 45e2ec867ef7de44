CREATE OR REPLACE TRIGGER codes_kept AFTER DELETE OR UPDATE OF id OR TRUNCATE ON radretrieval.encoder
    FOR EACH STATEMENT EXECUTE FUNCTION radretrieval.encoder_codes_kept();

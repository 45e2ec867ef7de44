CREATE OR REPLACE TRIGGER hidden BEFORE INSERT ON radretrieval.image
    FOR EACH ROW WHEN (NEW.hidden_at IS NULL) EXECUTE FUNCTION radretrieval.image_hidden();

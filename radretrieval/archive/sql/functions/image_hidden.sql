-- A trigger, since who ingests has no right to set hidden_at.
CREATE OR REPLACE FUNCTION radretrieval.image_hidden() RETURNS trigger
LANGUAGE plpgsql SET search_path = radretrieval, public, pg_temp AS $$
BEGIN
    NEW.hidden_at := (SELECT min(i.hidden_at) FROM radretrieval.image i WHERE i.sha256 = NEW.sha256);
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION radretrieval.image_hidden() IS 'A further frame of a file that is withdrawn is so too, for its trigger.';

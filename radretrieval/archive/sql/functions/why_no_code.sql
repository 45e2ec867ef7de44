-- Which of the reasons it is that an image cannot be asked for, and what to do.
CREATE OR REPLACE FUNCTION radretrieval.why_no_code(image bigint, encoder integer DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = radretrieval, public, pg_temp AS $$
DECLARE
    number CONSTANT integer := encoder_number(encoder);
    again CONSTANT text := 'radretrieval work --once --encoder ' || number;
    failure record;
    said text;
BEGIN
    IF image IS NULL OR NOT EXISTS (SELECT FROM image i WHERE i.id = why_no_code.image) THEN
        RETURN 'the archive has no image ' || coalesce(image::text, 'NULL') || '; radretrieval.image lists those there are';
    ELSIF EXISTS (SELECT FROM image i WHERE i.id = why_no_code.image AND i.hidden_at IS NOT NULL) THEN
        RETURN 'image ' || image || ' is withdrawn from searches; to take that back: radretrieval withdraw --image ' || image
            || ' --undo';
    END IF;
    IF EXISTS (SELECT FROM cnnc c WHERE c.encoder_id = number AND c.image_id = why_no_code.image) THEN
        IF EXISTS (SELECT FROM barcode b WHERE b.geometry_id = encoder_geometry(number) AND b.image_id = why_no_code.image) THEN
            RETURN NULL;
        END IF;
        RETURN 'image ' || image || ' has a code of encoder ' || number || ' but no barcode of its geometry; delete its row of '
            || 'radretrieval.cnnc, then run: ' || again;
    END IF;
    SELECT f.error, f.attempts INTO failure FROM coding_failure f WHERE f.encoder_id = number AND f.image_id = why_no_code.image;
    IF FOUND THEN
        IF has_column_privilege('coding_failure', 'message', 'SELECT') THEN
            SELECT ', ' || f.message INTO said FROM coding_failure f
            WHERE f.encoder_id = number AND f.image_id = why_no_code.image;
        END IF;
        RETURN 'image ' || image || ' could not be coded by encoder ' || number || ' (' || failure.attempts || ' attempts; '
            || failure.error || coalesce(said, '') || '); mend its file, then run: ' || again;
    END IF;
    RETURN 'image ' || image || ' has no code of encoder ' || number || ' yet; run: ' || again;
END
$$;

COMMENT ON FUNCTION radretrieval.why_no_code(bigint, integer) IS
    'Why an image cannot be asked for - unknown, withdrawn, not coded yet, failed, without barcode - and what to do; NULL if it can.';

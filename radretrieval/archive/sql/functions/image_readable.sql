-- A statement that names a column needs the right to read it, whatever its conditions say.
CREATE OR REPLACE FUNCTION radretrieval.image_readable(images bigint[])
RETURNS TABLE (image_id bigint, uri text, patient_key text)
LANGUAGE plpgsql STABLE ROWS 10 AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT i.id, %s, %s FROM unnest($1) u JOIN radretrieval.image i ON i.id = u',
        CASE WHEN has_column_privilege('radretrieval.image', 'uri', 'SELECT') THEN 'i.uri' ELSE 'NULL::text' END,
        CASE WHEN has_column_privilege('radretrieval.image', 'patient_key', 'SELECT') THEN 'i.patient_key' ELSE 'NULL::text' END)
        USING images;
END
$$;

COMMENT ON FUNCTION radretrieval.image_readable(bigint[]) IS
    'uri and patient_key of these images, each NULL for a role that may not read the column. For similar_to and retrieve_by.';

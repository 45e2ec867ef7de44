-- One expression with all names qualified: statements that call it have it inlined.
CREATE OR REPLACE FUNCTION radretrieval.audit_hash(
    before bytea, id bigint, at timestamptz, who text, db_role text, action text, detail jsonb) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.sha256(before OPERATOR(pg_catalog.||) pg_catalog.convert_to(pg_catalog.jsonb_build_array(
        id, (EXTRACT(epoch FROM at) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8, who, db_role, action,
        detail)::pg_catalog.text, 'UTF8'))
$$;

COMMENT ON FUNCTION radretrieval.audit_hash(bytea, bigint, timestamptz, text, text, text, jsonb) IS
    'Hash of a row of audit: SHA-256 of the hash of the row before it and, in UTF-8, of the JSON array of id, microseconds since '
    '1970, who, db_role, action and detail.';

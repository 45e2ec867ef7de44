COMMENT ON TABLE radretrieval.schema_object IS
    'The tables, functions, views and triggers of this schema, as db upgrade applied them from their files.';
COMMENT ON COLUMN radretrieval.schema_object.kind IS 'What it is: table, function (or procedure), view or trigger.';
COMMENT ON COLUMN radretrieval.schema_object.name IS 'Its name; of a trigger, TABLE.TRIGGER.';
COMMENT ON COLUMN radretrieval.schema_object.source IS 'SHA-256 of the file that it was applied from, 32 bytes.';
COMMENT ON COLUMN radretrieval.schema_object.definition IS
    'SHA-256 of its definition as the server wrote it right afterwards, 32 bytes; db check compares it with today''s.';
COMMENT ON COLUMN radretrieval.schema_object.server IS 'Major version of the server that wrote the definition.';
COMMENT ON COLUMN radretrieval.schema_object.applied_at IS 'When it was applied.';

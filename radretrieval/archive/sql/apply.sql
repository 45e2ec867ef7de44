-- Applies the files of archive/sql whose object is missing, is other than it was after it was applied last, or was applied
-- from another text. One statement: all of them are applied, or none.
-- An object is compared when its turn comes, so that what a file drops is made again by the files after it. Bodies of
-- functions may name functions that come later: they are checked when all are there.
DO $apply$
DECLARE
    files CONSTANT text[] := ARRAY[
{files}
    ];
    major CONSTANT integer := current_setting('server_version_num')::integer / 10000;
    file text[];  -- kind, name, text
    digest bytea;
    found bytea;
BEGIN
    LOCK TABLE radretrieval.schema_object IN SHARE ROW EXCLUSIVE MODE;
    -- the files name everything with its schema; and the server writes definitions by the search path
    PERFORM set_config('search_path', 'pg_catalog', true), set_config('check_function_bodies', 'off', true),
            set_config('client_min_messages', 'warning', true);
    FOREACH file SLICE 1 IN ARRAY files LOOP
        digest := sha256(convert_to(file[3], 'UTF8'));
        FOR applied IN 0 .. 1 LOOP
            SELECT sha256(convert_to(string_agg(o.definition, '' ORDER BY o.definition), 'UTF8')) INTO found
            FROM ({objects}) o WHERE o.kind = file[1] AND o.name = file[2];
            IF applied = 1 THEN
                INSERT INTO radretrieval.schema_object AS s (kind, name, source, definition, server)
                VALUES (file[1], file[2], digest, found, major)
                ON CONFLICT (kind, name) DO UPDATE SET source = excluded.source, definition = excluded.definition,
                    server = excluded.server, applied_at = now();
            ELSIF EXISTS (SELECT FROM radretrieval.schema_object s
                          WHERE (s.kind, s.name, s.source, s.definition, s.server)
                              = (file[1], file[2], digest, found, major)) THEN
                EXIT;
            ELSE
                EXECUTE file[3];
            END IF;
        END LOOP;
    END LOOP;
    PERFORM set_config('search_path', 'radretrieval, public, pg_temp', true),
            set_config('check_function_bodies', 'on', true);
    PERFORM CASE l.lanname WHEN 'sql' THEN fmgr_sql_validator(p.oid) ELSE plpgsql_validator(p.oid) END
    FROM radretrieval.schema_object s JOIN pg_proc p ON p.proname = s.name JOIN pg_language l ON l.oid = p.prolang
    WHERE s.kind = 'function' AND s.applied_at = now() AND p.pronamespace = 'radretrieval'::regnamespace;
    DELETE FROM radretrieval.schema_object s
    WHERE NOT EXISTS (SELECT FROM generate_subscripts(files, 1) n WHERE files[n][1] = s.kind AND files[n][2] = s.name);
    -- the functions of the indexes, which have parts of these and their constants in them
    PERFORM radretrieval.exact_create_search(x.id) FROM radretrieval.exact_index x
    WHERE EXISTS (SELECT FROM radretrieval.exact_group g WHERE g.index_id = x.id);
END
$apply$;

-- What radretrieval made in its schema belongs to the owner of the schema, and the rest of this session acts as that role.
-- Else the next one that writes, or upgrades, is refused what a superuser made. Objects of the site's own stay as they are.
DO $owner$
DECLARE
    owner CONSTANT name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = 'radretrieval');
    needed CONSTANT text := CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END;
    change text;
BEGIN
    IF owner = current_user OR NOT pg_has_role(current_user, owner, needed) OR NOT pg_has_role(session_user, owner, needed) THEN
        RETURN;
    END IF;
    FOR change IN
        SELECT format('ALTER %s %s OWNER TO %I', CASE c.relkind WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, c.oid::regclass, owner)
        FROM pg_class c
        WHERE c.relnamespace = 'radretrieval'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'c')
          AND pg_get_userbyid(c.relowner) <> owner AND pg_has_role(current_user, c.relowner, 'USAGE')
          AND (c.relname ~ '^((cnnc|exact)_[0-9]+(_stage)?|audit_[0-9]{4}_[0-9]{2})$' OR c.relname = ANY (ARRAY[{relations}]))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, owner) FROM pg_proc p
        WHERE p.pronamespace = 'radretrieval'::regnamespace AND pg_get_userbyid(p.proowner) <> owner
          AND pg_has_role(current_user, p.proowner, 'USAGE') AND p.proname = ANY (ARRAY[{routines}])
    LOOP
        EXECUTE change;
    END LOOP;
    PERFORM set_config('role', owner, false);
END
$owner$;

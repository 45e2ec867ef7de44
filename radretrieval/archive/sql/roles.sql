-- The roles of radretrieval's services and what each may do, to be reviewed by the DBA and run by a superuser:
--     radretrieval db roles --sql > roles.sql
--     psql -v ON_ERROR_STOP=1 -d DATABASE -f roles.sql
-- It changes nothing where all is as it says, and may be run again at any time. The site's login roles are members:
--     CREATE ROLE work1 LOGIN IN ROLE radretrieval_worker;
BEGIN;

DO $$BEGIN
    IF to_regclass('radretrieval.schema_object') IS NULL THEN
        RAISE EXCEPTION 'this database has no archive yet; run first: radretrieval db upgrade';
    END IF;
    IF (SELECT v.version_num FROM radretrieval.alembic_version v) <> '{revision}' THEN
        RAISE EXCEPTION 'this SQL is for an archive at revision {revision}; run first, with this version: radretrieval db upgrade';
    END IF;
{create}
END$$;

-- The schema and all that radretrieval made in it belong to {owner}. The role that owned it before becomes a member.
DO $$DECLARE before name := (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = 'radretrieval'); BEGIN
    IF before <> '{owner}' THEN
        IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = before) THEN
            EXECUTE format('GRANT {owner} TO %I', before);
        END IF;
        ALTER SCHEMA radretrieval OWNER TO {owner};
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {every}', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {temporary}', current_database());
END$$;

-- pgvector is there. What others create there, searches would find by their search path.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {every};
-- Nothing of radretrieval is a large object; anyone could fill the disk with them.
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;

{belongs}

REVOKE ALL ON {tables} FROM {services};
REVOKE ALL ON FUNCTION {functions} FROM {services};
GRANT USAGE ON SCHEMA radretrieval TO {services};

{grants}

-- The tables that came with encoders and exact indexes; later ones get their rights when they are created.
DO $$DECLARE change text; BEGIN
    FOR change IN
        SELECT format(s.statement, c.oid::regclass) FROM pg_class c JOIN (VALUES
{children}
        ) s (place, pattern, statement) ON c.relname ~ s.pattern
        WHERE c.relnamespace = 'radretrieval'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY s.place
    LOOP
        EXECUTE change;
    END LOOP;
END$$;

DO $$BEGIN PERFORM radretrieval.audit_add(session_user::text, 'db roles', '{"patients": {patients}}'); END$$;

RESET ROLE;
COMMIT;

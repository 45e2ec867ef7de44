"""What a database's schema is, to compare two of them: everything but tables that come and go."""

from __future__ import annotations

from typing import Any

import psycopg

OF_OURS = "= 'radretrieval'::regnamespace"
QUERIES = {
    "functions": "SELECT p.proname, p.oid::regprocedure::text, pg_get_functiondef(p.oid), "
    "(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a) "
    f"FROM pg_proc p WHERE p.pronamespace {OF_OURS} ORDER BY 2",
    "views": "SELECT c.relname, pg_get_viewdef(c.oid), c.reloptions::text, c.relacl::text FROM pg_class c "
    f"WHERE c.relnamespace {OF_OURS} AND c.relkind = 'v' ORDER BY 1",
    # those of partitions as those of their table: each has the same
    "triggers": "SELECT DISTINCT regexp_replace(pg_get_triggerdef(t.oid), '(cnnc|audit)_[0-9_]+', '\\1'), "
    "t.tgenabled::text "
    f"FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace {OF_OURS} AND NOT t.tgisinternal "
    "ORDER BY 1",
    "columns": "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a "
    f"JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace {OF_OURS} AND c.relkind IN ('r', 'p', 'v', 'c') "
    r"AND a.attnum > 0 AND NOT a.attisdropped AND c.relname !~ '^(cnnc|exact|audit)_\d+' ORDER BY c.relname, a.attnum",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    rf"WHERE connamespace {OF_OURS} AND conrelid::regclass::text !~ '(cnnc|exact|audit)_\d+' ORDER BY 1, 2",
    "comments": "SELECT o.type, o.identity, d.description FROM pg_description d, "
    "pg_identify_object(d.classoid, d.objoid, d.objsubid) o WHERE o.schema = 'radretrieval' "
    r"AND o.identity !~ '(cnnc|exact|audit)_\d+' ORDER BY 1, 2",
    "applied": "SELECT kind, name, source, definition, server FROM radretrieval.schema_object ORDER BY 1, 2",
}


def catalogue(url: str, *parts: str) -> dict[str, list[tuple[Any, ...]]]:
    """Functions, views, triggers, columns, constraints, comments and what was applied, or those parts of it."""
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = pg_catalog")
        return {part: connection.execute(QUERIES[part]).fetchall() for part in parts or QUERIES}

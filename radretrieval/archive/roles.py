"""The roles of a site's services: the SQL that makes them, and the rights of objects that come later.

What each may do is listed in `schema.rights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from radretrieval.archive.schema import objects
from radretrieval.archive.schema.revision import REVISION
from radretrieval.archive.schema.rights import FUNCTIONS, OWNER, SERVICES, TABLES, Right, pattern, rights, role

TEMPORARY = (OWNER, "ingest")  # ingestion stages rows in a temporary table

# Tables, columns and functions of the schema by name, and by a key that an object made anew does not share.
_THERE = """
    SELECT c.relname AS name, c.oid::text AS key FROM pg_class c WHERE c.relnamespace = to_regnamespace('radretrieval')
    UNION ALL
    SELECT c.relname || '.' || a.attname, c.oid || '.' || a.attnum
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = to_regnamespace('radretrieval') AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT p.proname || '()', p.oid::text FROM pg_proc p WHERE p.pronamespace = to_regnamespace('radretrieval')"""


def script(patients: bool = True) -> str:
    """The SQL that makes the roles and sets their rights, for a DBA to review and to run.

    Parameters
    ----------
    patients : whether analysts see the pseudonyms of patients.
    """
    every = [OWNER, *SERVICES]
    create = "    IF to_regrole('{0}') IS NULL THEN CREATE ROLE {0} NOLOGIN; END IF;"
    tables = [table for table in TABLES if "<" not in table]
    services = ", ".join(map(role, SERVICES))
    held = [f"radretrieval.{name}" for name, given in FUNCTIONS.items() if not any("?" in one for one in given)]
    text = (objects.FOLDER / "roles.sql").read_text(encoding="utf-8")
    filled = {
        "revision": REVISION,
        "create": "\n".join(create.format(role(one)) for one in every),
        "owner": role(OWNER),
        "patients": str(patients).lower(),
        "every": ", ".join(map(role, every)),
        "temporary": ", ".join(map(role, TEMPORARY)),
        "services": services,
        "belongs": objects.owner_script().strip(),
        "tables": _named(tables),
        "functions": ", ".join(held),
        "grants": "\n\n".join("\n".join(_of_service(service, tables, patients)) for service in SERVICES),
        "children": ",\n".join(
            f"            ({place}, {values})" for place, values in enumerate(_of_children(services))
        ),
    }
    for name, value in filled.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def remember_script() -> str:
    """The SQL by which a session notes which objects there are, so that `new_objects_script` knows those that come."""
    return (
        "SELECT set_config('radretrieval.objects_before', coalesce(string_agg(o.key, ' '), ''), false) "
        f"FROM ({_THERE}) o"
    )


def new_objects_script() -> str:
    """The SQL that gives the roles their rights on what this session has created in the schema."""
    values = (
        f"'{name}', '{thing}', {str(optional).lower()}, '{statement}'"
        for name, thing, optional, statement in _of_new_objects()
    )
    text = (objects.FOLDER / "new_objects.sql").read_text(encoding="utf-8")
    return text.replace("{grants}", _values(values)).replace("{there}", _THERE)


def _values(rows: Iterable[str]) -> str:
    """Rows of VALUES, each with its place."""
    return ",\n".join(f"            ({place}, {row})" for place, row in enumerate(rows))


def _of_service(service: str, tables: list[str], patients: bool) -> Iterator[str]:
    """The statements that set the rights of one role."""
    name = role(service)
    whole: dict[str, list[str]] = {}
    for table in tables:
        found = list(rights(table, service))
        parts = ", ".join(right.privilege for right in found if not right.columns)
        if parts:
            whole.setdefault(parts, []).append(table)
        for right in found:
            if right.columns:
                yield _on_columns(right, right.columns + (right.optional if patients else ()), table) + f" TO {name};"
    for privileges, having in whole.items():
        yield f"GRANT {privileges} ON {_named(having)} TO {name};"
    for function, services in FUNCTIONS.items():
        if service in services:
            yield f"GRANT EXECUTE ON FUNCTION radretrieval.{function} TO {name};"


def _of_children(services: str) -> Iterator[str]:
    """Pattern and statement, as values of SQL, for the tables that come and go."""
    for table in (table for table in TABLES if "<" in table):
        yield f"'{pattern(table)}', 'REVOKE ALL ON %s FROM {services}'"
        for service in SERVICES:
            if parts := ", ".join(right.privilege for right in rights(table, service)):
                yield f"'{pattern(table)}', 'GRANT {parts} ON %s TO {role(service)}'"


def _of_new_objects() -> Iterator[tuple[str, str, bool, str]]:
    """Role, object, whether the site may take it away, and the statement in which %s is the role."""
    for service in SERVICES:
        for table in (table for table in TABLES if "<" not in table):
            for right in rights(table, service):
                if not right.columns:
                    yield role(service), table, False, f"GRANT {right.privilege} ON radretrieval.{table} TO %s"
                for column in right.columns + right.optional:
                    statement = _on_columns(right, (column,), table) + " TO %s"
                    yield role(service), f"{table}.{column}", column in right.optional, statement
        for function, services in FUNCTIONS.items():
            if service in services:
                yield role(service), f"{function}()", False, f"GRANT EXECUTE ON FUNCTION radretrieval.{function} TO %s"


def _on_columns(right: Right, columns: tuple[str, ...], table: str) -> str:
    return f"GRANT {right.privilege} ({', '.join(columns)}) ON radretrieval.{table}"


def _named(tables: list[str]) -> str:
    return ", ".join(f"radretrieval.{table}" for table in tables)

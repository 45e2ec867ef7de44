"""Whether the role of a connection has the rights that its service needs, and no others.

Compared with the list of `schema.rights`; each finding comes with the statement that repairs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.archive.roles import TEMPORARY
from radretrieval.archive.schema.rights import FUNCTIONS, OPEN_FUNCTIONS, OWNER, SERVICES, line_of, rights, role
from radretrieval.errors import EnvironmentUnusable

# (kind, object, privilege, column): kind is database, schema, table, sequence, function, or postgresql: a function, a
# table or a setting of its own, named as SQL does; the column '' is the whole of it; OWNER is no privilege: it owns it
_Key = tuple[str, str, str, str]


def check(connection: Connection, service: str | None = None) -> list[str]:
    """The services that this connection's role is for; nothing is compared where it is for none, as the owner is.

    Parameters
    ----------
    service : for which the role must be fit; None for those whose roles it is a member of.

    Raises
    ------
    EnvironmentUnusable : it lacks rights, or has others; a line each, with the statement that repairs it.
    """
    facts = connection.execute(
        sql("role_facts"), {"roles": [role(one) for one in SERVICES], "owner": role(OWNER)}
    ).fetchone()
    assert facts is not None
    if service is not None:
        services = [service]
    elif facts["superuser"] or facts["owns"]:
        return []
    else:
        services = [one for one in SERVICES if role(one) in facts["member_of"]]
    if not services or not facts["archive"]:
        return services
    found = list(_found(connection, facts, services))
    if found:
        told = "\n".join(f"  {what}: {repair};" for what, repair in dict.fromkeys(found))
        raise EnvironmentUnusable(
            f"the database role {facts['role']} has not the rights of {' and '.join(services)}; each line is mended by "
            f"what follows it, as a DBA of {facts['database']}:\n{told}"
        )
    return services


def _found(connection: Connection, facts: dict[str, Any], services: list[str]) -> Iterator[tuple[str, str]]:
    """What is wrong, and the statement that repairs it."""
    name = facts["role_quoted"]
    for attribute in facts["attributes"]:
        if attribute == "BYPASSRLS" and not {"analyst", "auditor", "search"}.intersection(services):
            continue  # policies must not hide rows from who writes
        yield f"it is {attribute}", f"ALTER ROLE {name} NO{attribute}"
    for group, member in facts["memberships"]:
        if group not in [role(one) for one in services]:
            yield f"it is a member of {group}", f"REVOKE {group} FROM {member}"
    if OWNER in services:
        if not facts["owns"]:
            yield "it is not the owner of the schema radretrieval", f"GRANT {role(OWNER)} TO {name}"
        return
    needed, allowed = _expected(connection, services)
    has: set[_Key] = set()
    taken: set[tuple[str, str, str]] = set()  # a REVOKE of a whole table takes the right on its columns too
    others = [role(one) for one in SERVICES if one not in services]
    for row in connection.execute(sql("role_rights")).fetchall():
        key = (row["kind"], row["name"], row["privilege"], row["column"])
        if row["grantee"] in others:  # by a membership that is told already, and has to end
            continue
        if row["inherited"]:
            has.add(key)
        if not _is_ours(key):
            continue
        if key[2] == "OWNER":
            yield f"{row['grantee']} owns {_place(key)}", _to_owner(key, facts)
        elif not _is_among(key, allowed):
            taken |= {key[:3]} if key[3] == "" else set()
            yield f"it has {_called(key)}", f"REVOKE {_statement(key, facts)} FROM {row['grantee']}"
        elif row["grantable"]:
            repair = f"REVOKE GRANT OPTION FOR {_statement(key, facts)} FROM {row['grantee']} CASCADE"
            yield f"it may grant {_called(key)} to others", repair
    for service, key in needed:
        if not _is_among(key, has) or key[:3] in taken:
            if role(service) in facts["exists"] and role(service) not in facts["member_of"]:
                yield f"it is not a member of {role(service)}", f"GRANT {role(service)} TO {name}"
            else:
                to = role(service) if role(service) in facts["member_of"] else name
                yield f"it lacks {_called(key)}", f"GRANT {_statement(key, facts)} TO {to}"


def _is_ours(key: _Key) -> bool:
    """Whether a right is on an object of ours, and not on one of the site's own in the schema."""
    kind, name = key[:2]
    return {"table": line_of(name) is not None, "function": name in OPEN_FUNCTIONS or name in FUNCTIONS}.get(kind, True)


def _is_among(key: _Key, keys: set[_Key]) -> bool:
    """Whether a right is there, itself or on the whole table."""
    return key in keys or (*key[:3], "") in keys


def _expected(connection: Connection, services: Sequence[str]) -> tuple[list[tuple[str, _Key]], set[_Key]]:
    """The rights that services need, and those that they may have."""
    needed: list[tuple[str, _Key]] = []
    allowed: set[_Key] = {("schema", name, "USAGE", "") for name in ("radretrieval", "public")}
    allowed |= {("database", "", privilege, "") for privilege in ("CONNECT", "TEMPORARY")}
    allowed |= {("function", name, "EXECUTE", "") for name in OPEN_FUNCTIONS}
    names = [(row["name"], line) for row in connection.execute(sql("role_tables")) if (line := line_of(row["name"]))]
    for service in (*services, "everyone"):
        one: list[_Key] = [] if service == "everyone" else [("schema", "radretrieval", "USAGE", "")]
        one += [("database", "", "TEMPORARY", "")] if service in TEMPORARY else []
        for name, line in names:
            for right in rights(line, service):
                one += [("table", name, right.privilege, column) for column in right.columns or ("",)]
                allowed |= {("table", name, right.privilege, column) for column in right.optional}
        for function, given in FUNCTIONS.items():
            one += [("function", function, "EXECUTE", "")] if service in given else []
            allowed |= {("function", function, "EXECUTE", "")} if f"{service}?" in given else set()
        needed += [(service, key) for key in one] if service != "everyone" else []
        allowed |= set(one)
    return needed, allowed


def _called(key: _Key) -> str:
    column = key[3]
    return f"{key[2]} on {_place(key)}{f'.{column}' if column else ''}"


def _place(key: _Key) -> str:
    kind, name = key[:2]
    return {"table": name, "postgresql": name, "database": "the database"}.get(kind, f"the {kind} {name}")


def _statement(key: _Key, facts: dict[str, Any]) -> str:
    kind, name, privilege, column = key
    on = {
        "database": f"DATABASE {facts['database_quoted']}",
        "schema": f"SCHEMA {name}",
        "function": f"FUNCTION radretrieval.{name}",
        "sequence": f"SEQUENCE radretrieval.{name}",
        "postgresql": name,
    }.get(kind, f"radretrieval.{name}")
    return f"{privilege}{f' ({column})' if column else ''} ON {on}"


def _to_owner(key: _Key, facts: dict[str, Any]) -> str:
    return f"ALTER {key[0].upper()} radretrieval.{key[1]} OWNER TO {facts['owner']}"

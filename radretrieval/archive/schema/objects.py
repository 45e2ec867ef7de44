"""The functions, views and triggers of the archive, and the comments on its tables: archive/sql/, one file an object.

The files are the truth: `radretrieval db upgrade` applies those that differ from what the database has. The table
schema_object holds, of each, the digest of its file and that of the definition that the server had right afterwards.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.archive import locks
from radretrieval.archive.queries import sql
from radretrieval.errors import SchemaOutdated

if TYPE_CHECKING:
    from radretrieval.archive.connections import Database

FOLDER = Path(__file__).parents[1] / "sql"
KINDS = ("table", "function", "view", "trigger")  # in the order that they are applied in


@lru_cache(maxsize=1)
def files() -> list[tuple[str, str, str]]:
    """Kind, name and text of every object, in the order that they are applied in."""
    return [
        (kind, path.stem, path.read_text(encoding="utf-8"))
        for kind in KINDS
        for path in sorted((FOLDER / f"{kind}s").glob("*.sql"))
    ]


def digest() -> str:
    """One digest of all files, in hexadecimal digits; `revision.OBJECTS` repeats it, and the statement `objects_digest`
    computes it of what was applied."""
    ordered = sorted((kind, name, hashlib.sha256(text.encode()).digest()) for kind, name, text in files())
    return hashlib.sha256(b"".join(one for _, _, one in ordered)).hexdigest()


def script() -> str:
    """The SQL that brings the objects of a database at the newest revision to those of the files."""
    listed = ",\n".join(f"ARRAY['{kind}', '{name}', $file${text}$file$]" for kind, name, text in files())
    text = (FOLDER / "apply.sql").read_text(encoding="utf-8")
    return text.replace("{objects}", sql("objects")).replace("{files}", listed)


def owner_script() -> str:
    """The SQL after which the schema's objects belong to its owner, and a superuser's session acts as that role."""
    relations = ", ".join(f"'{name}'" for kind, name, _ in files() if kind in ("table", "view"))
    routines = ", ".join(f"'{name}'" for kind, name, _ in files() if kind == "function")
    text = (FOLDER / "owner.sql").read_text(encoding="utf-8")
    return text.replace("{relations}", f"{relations}, 'alembic_version'").replace("{routines}", routines)


def check(database: Database) -> None:
    """Raise SchemaOutdated that names every object which is missing, or is other than `db upgrade` left it.

    Raises DatabaseUnavailable where another session has locked a table for longer than `locks.SECONDS`: the server
    locks a view's tables to print its definition.
    """
    with database.connection() as connection:
        locks.limit_waits(connection, locks.SECONDS)
        connection.execute(sql("objects_path"))
        rows = connection.execute(sql("objects_changed").replace("{objects}", sql("objects"))).fetchall()
    if rows:
        named = [f"the {row['kind']} {row['name']} {row['finding']}" for row in rows]
        raise SchemaOutdated(
            f"the archive's database is not as db upgrade left it: {', '.join(named)}; run: radretrieval db upgrade"
        )

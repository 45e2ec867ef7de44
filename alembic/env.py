"""How migrations run: one at a time in the whole database, each in its own transaction, never waiting long.

`radretrieval db upgrade` comes here, and so does `alembic upgrade head` with RADRETRIEVAL_DATABASE_URL set;
with `--sql` nothing is connected and the statements are printed for a DBA.
"""

from __future__ import annotations

import re

from alembic import context
from radretrieval.archive import migrations
from radretrieval.archive.schema import tables

SETTINGS = (
    "SET lock_timeout = '10s'",
    "SET statement_timeout = '10min'",
    # not CREATE SCHEMA IF NOT EXISTS: that asks for a privilege even where a DBA has made the schema
    "DO $$BEGIN IF to_regnamespace('radretrieval') IS NULL THEN CREATE SCHEMA radretrieval; END IF; END$$",
)


def include_object(item: object, name: str | None, kind: str, reflected: bool, compare_to: object) -> bool:
    """Leave out the partitions of `cnnc` and the rows of exact indexes: they come and go."""
    return not (kind == "table" and reflected and re.fullmatch(r"(cnnc|exact)_\d+", name or ""))


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Look at our own schema only."""
    return name == tables.SCHEMA if kind == "schema" else True


def configure(**how: object) -> None:
    context.configure(
        target_metadata=tables.metadata,
        version_table_schema=tables.SCHEMA,
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        transaction_per_migration=True,
        **how,
    )


if context.is_offline_mode():
    configure(dialect_name="postgresql", literal_binds=True)
    for statement in SETTINGS:
        context.execute(statement)
    context.run_migrations()
else:
    with migrations.locked_connection(context.config) as connection:
        for statement in SETTINGS:
            connection.exec_driver_sql(statement)
        connection.commit()
        configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

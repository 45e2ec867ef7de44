"""How migrations run: one at a time in the whole database, each in its own transaction, never waiting long.

At the newest revision, functions, views and triggers follow in one transaction more, and the rights of the roles on
what is new.

`radretrieval db upgrade` comes here, and so does `alembic upgrade head` with RADRETRIEVAL_DATABASE_URL set;
with `--sql` nothing is connected and the statements are printed for a DBA.
"""

from __future__ import annotations

import re

from alembic import context
from radretrieval.archive import migrations, roles
from radretrieval.archive.schema import objects, tables

SETTINGS = (
    f"SET lock_timeout = '{migrations.LOCK_SECONDS}s'",
    "SET statement_timeout = '10min'",
    # not CREATE SCHEMA IF NOT EXISTS: that asks for a privilege even where a DBA has made the schema
    "DO $$BEGIN IF to_regnamespace('radretrieval') IS NULL THEN CREATE SCHEMA radretrieval; END IF; END$$",
)


def include_object(item: object, name: str | None, kind: str, reflected: bool, compare_to: object) -> bool:
    """Leave out the partitions of `cnnc` and `audit` and the rows of exact indexes: they come and go."""
    return not (kind == "table" and reflected and re.fullmatch(r"(cnnc|exact)_\d+|audit_\d{4}_\d\d", name or ""))


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
        # what tables and columns are stands in radretrieval/archive/sql/tables, not in the metadata
        autogenerate_plugins=["alembic.autogenerate.*", "~alembic.autogenerate.comments"],
        **how,
    )


if context.is_offline_mode():
    configure(dialect_name="postgresql", literal_binds=True)
    context.static_output(migrations.turn_script())
    for statement in SETTINGS:
        context.execute(statement)
    context.static_output(objects.owner_script())
    context.execute(roles.remember_script())
    context.run_migrations()
    if context.get_revision_argument() == context.get_head_revision():
        context.static_output(objects.script())
        context.static_output(roles.new_objects_script())
    context.execute("RESET ROLE")
    context.execute(f"SELECT pg_advisory_unlock({migrations.LOCK})")  # a pooled connection would go on holding it
else:
    with migrations.locked_connection(context.config) as connection:
        for statement in SETTINGS:
            connection.exec_driver_sql(statement)
        for statement in (objects.owner_script(), roles.remember_script()):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        connection.commit()
        configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
        # of `upgrade` alone: `current`, `check` and `revision` name no revision to go to, `stamp` names several
        here = context.get_context().get_current_revision()
        if isinstance(context.get_context().opts.get("destination_rev"), str) and here == context.get_head_revision():
            for statement in (objects.script(), roles.new_objects_script()):
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        connection.commit()

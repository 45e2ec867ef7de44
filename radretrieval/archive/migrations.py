"""Migrations: up, down, and as SQL for a DBA. Alembic does the work; its two folders come with the wheel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from radretrieval.archive import connections, locks, urls
from radretrieval.archive.queries import sql
from radretrieval.archive.requirements import server_facts
from radretrieval.errors import EnvironmentUnusable, SchemaOutdated, UsageError
from radretrieval.logs import Log

if TYPE_CHECKING:
    import sqlalchemy
    from alembic.config import Config

log = Log(__name__)

LOCK_SECONDS = 10  # that a migration waits for a table
_PAUSE = 0.1  # seconds between two attempts to take the lock

# Two upgrades of one database wait for each other; any number will do as long as it stays
LOCK = 7_266_320_149


def _folders() -> tuple[Path, Path]:
    package = Path(__file__).parent.parent
    for root, scripts, versions in (
        (package, "_alembic", "_migrations"),
        (package.parent, "alembic", "migrations"),
    ):
        if (root / scripts / "env.py").is_file():
            return root / scripts, root / versions
    raise EnvironmentUnusable(f"the migrations are missing beside {package}; install radretrieval again")


def config(url: str | None, output: TextIO | None = None) -> Config:
    """Alembic's configuration for this package's migrations; `url` is libpq's, None for `--sql`."""
    from alembic.config import Config

    scripts, versions = _folders()
    made = Config(output_buffer=output)
    made.set_main_option("script_location", str(scripts).replace("%", "%%"))
    made.set_main_option("version_locations", str(versions).replace("%", "%%"))
    made.set_main_option("path_separator", "newline")  # a blank in the path is not the end of it
    made.attributes["url"] = url
    return made


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to a revision, and at the newest one its functions, views and triggers to their files.

    Raises EnvironmentUnusable with the SQL for the DBA when it may not, SchemaOutdated where the database is at a
    revision that this version does not know; then nothing was changed.
    """
    from psycopg.errors import LockNotAvailable

    from alembic import command

    with connections.database_errors(url):
        try:
            with _unwrapped():
                prepare(url)
                command.upgrade(config(url), revision)
        except LockNotAvailable:
            _log_users(url)
            raise


def _log_users(url: str) -> None:
    from radretrieval.archive.schema.tables import metadata

    with connections.connect(url) as connection:
        values = {"tables": list(metadata.tables), "readers": True}
        pids = [row["pid"] for row in connection.execute(sql("table_users"), values).fetchall()]
        log.warning(
            "upgrade_waited",
            "db upgrade waited in vain for tables of the archive; used by %(sessions)s",
            sessions=locks.shown(connection, pids),
        )


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision (`base`: nothing of ours remains but the extension and an empty schema).

    Functions, views and triggers are those of that revision afterwards; what a command can make again, as an exact
    index, goes with its tables. Raises EnvironmentUnusable where other data would be lost.
    """
    from psycopg import errors

    from alembic import command

    try:
        with connections.database_errors(url), _unwrapped():
            command.downgrade(config(url), revision)
    except errors.RaiseException as error:
        raise EnvironmentUnusable(error.diag.message_primary or str(error)) from error


@contextmanager
def _unwrapped() -> Iterator[None]:
    """psycopg's errors where SQLAlchemy would give its own."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        raise (error.orig or error) from error


def print_sql(output: TextIO, start: str = "base", revision: str = "head") -> None:
    """The statements of an upgrade, for a DBA who runs SQL by hand with psql.

    Parameters
    ----------
    start : revision of the database that they are for; `base`: there is nothing yet.

    Raises UsageError for a revision that is not known.
    """
    from alembic import command

    known = ["base", *_known()]
    if start not in known:
        raise UsageError(f"revision {start} is not known to this version; it knows: {', '.join(known)}")
    command.upgrade(config(None, output), f"{start}:{revision}", sql=True)


def _known() -> list[str]:
    """The revisions that this version has migrations for, in order."""
    from alembic.script import ScriptDirectory

    return sorted(script.revision for script in ScriptDirectory.from_config(config(None)).walk_revisions())


def _require_known(connection: connections.Connection, url: str) -> None:
    row, known = connection.execute(sql("revision")).fetchone(), _known()
    if row is not None and row["version_num"] not in known:
        raise SchemaOutdated(
            f"the archive at {urls.redacted(url)} is at revision {row['version_num']}, and this version knows none "
            f"newer than {known[-1]}: a newer radretrieval made it; use that one, or restore a backup of before its "
            "upgrade"
        )


def prepare(url: str) -> None:
    """Server, extension and privileges, checked before a migration starts; the extension is made where we may."""
    from psycopg import errors

    connection = connections.connect(url, session=True, autocommit=True)
    with connection:
        facts = server_facts(connection)
        if facts["has_schema"]:
            _require_known(connection, url)
        if facts["pgvector_version"] is None:
            try:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
            except (errors.InsufficientPrivilege, errors.UniqueViolation) as error:
                if isinstance(error, errors.UniqueViolation):  # another upgrade made it in the same moment
                    return
                raise EnvironmentUnusable(
                    f"the role {facts['role']} may not create the extension pgvector in {facts['database']}; ask "
                    f"the DBA to run, as a superuser in {facts['database']}: CREATE EXTENSION vector;"
                ) from error
        if not facts["has_schema"] and not facts["may_create"]:
            _check_schema(connection, facts)


def _check_schema(connection: Any, facts: dict[str, Any]) -> None:
    if connection.execute(sql("schema_usable")).fetchone()["usable"]:
        return
    raise EnvironmentUnusable(
        f"the role {facts['role']} may not create a schema in {facts['database']}; ask the DBA to run, in "
        f'{facts["database"]}: CREATE SCHEMA radretrieval AUTHORIZATION "{facts["role"]}";'
    )


def _turn() -> str:
    return sql("upgrade_turn").replace("%(key)s", str(LOCK))


def turn_script() -> str:
    """The SQL that waits for the lock of migrations, for a script that the DBA runs."""
    wait = "PERFORM pg_stat_clear_snapshot(), pg_sleep(0.1)"
    return f"DO $turn$BEGIN WHILE (SELECT NOT t.mine FROM ({_turn()}) t) LOOP {wait}; END LOOP; END$turn$;"


@contextmanager
def locked_connection(alembic_config: Config) -> Iterator[sqlalchemy.Connection]:
    """A connection for alembic/env.py that holds the lock of migrations until it is closed."""
    import sqlalchemy

    url = alembic_config.attributes.get("url")
    if url is None:
        from radretrieval.config import Settings

        settings = Settings()
        url = urls.direct_url(settings) or urls.database_url(settings)
    made = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: _plain(url), poolclass=sqlalchemy.pool.NullPool
    )
    with made.connect() as connection:
        waited, told = 0.0, locks.SECONDS
        while not connection.exec_driver_sql(_turn()).scalar():
            connection.commit()
            time.sleep(_PAUSE)
            waited += _PAUSE
            if waited >= told:
                told *= 2
                with connections.connect(url) as asking:
                    has = locks.advisory_holder(asking, LOCK)
                log.warning(
                    "waiting_for_lock",
                    "waiting for the lock of db upgrade for %(seconds).0f s; it is held by %(sessions)s",
                    seconds=waited,
                    sessions=has,
                )
        connection.commit()
        yield connection


def _plain(url: str) -> Any:
    import psycopg

    connection = psycopg.connect(url, application_name="radretrieval db upgrade", client_encoding="utf8")
    # the catalogue is compared by qualified names: nothing but pgvector's own schema may be on the path
    connection.execute("SET search_path = public")
    connection.commit()
    return connection

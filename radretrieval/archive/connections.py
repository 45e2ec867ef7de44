"""Connections to the database: its URL, the check that it can be used, and errors of psycopg translated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from radretrieval.archive.queries import sql
from radretrieval.archive.urls import FORM, redacted
from radretrieval.config import Settings
from radretrieval.errors import (
    DIRECT,
    STANDBY,
    DatabaseUnavailable,
    EmbeddedServerError,
    EnvironmentUnusable,
    PrivilegeMissing,
    SchemaOutdated,
    UsageError,
)
from radretrieval.logs import Log

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]
else:  # psycopg is imported by whoever connects: it takes its time
    Connection = Any

log = Log(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Database:
    """The archive's database.

    Attributes
    ----------
    url : libpq's. embedded : whether it is the embedded server's.
    direct : libpq's URL for what needs a session, where `url` leads to a pooler; None where it does not.
    reader : standbys that searches are read from; None where they are read here.
    patience : as of `connect`.
    """

    url: str = field(repr=False)  # it may have a password in it
    embedded: bool = False
    direct: str | None = field(default=None, repr=False)
    reader: Database | None = None
    patience: int = 10

    @property
    def session_url(self) -> str:
        """The URL for connections that hold locks, listen, or set what must stay."""
        return self.direct or self.url

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in a transaction of its own: committed at the end, rolled back on an error.

        Raises DatabaseUnavailable when the server cannot be reached or goes away meanwhile.
        """
        with database_errors(self.url):
            connection = connect(self.url, patience=self.patience)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()


def connect(url: str, session: bool = False, patience: int = 10, **options: Any) -> Connection:
    """A psycopg connection with dict rows that sees our schema, also through a pooler; raises psycopg's own errors.

    Parameters
    ----------
    session : what is set, locked or listened to must stay until the connection is closed.
    patience : seconds for each host to answer; a network that was cut is noticed within some six times as many.

    Raises EnvironmentUnusable where a session is needed and a pooler in transaction mode gives none.
    """
    import psycopg
    from psycopg.rows import dict_row

    from radretrieval.archive import pooled

    options |= {
        "row_factory": dict_row,
        "fallback_application_name": "radretrieval",  # the URL and PGAPPNAME may name another
        "client_encoding": "utf8",  # else it is the database's, and psycopg gives the text of SQL_ASCII as bytes
        "connect_timeout": patience,
        "keepalives_idle": 3 * patience,
        "keepalives_interval": patience,
        "tcp_user_timeout": 6_000 * patience,  # milliseconds
    }
    autocommit = options.pop("autocommit", False)
    with pooled.told_when_waiting(redacted(url)):
        try:
            connection = psycopg.connect(url, autocommit=True, **options)
        except psycopg.ProgrammingError:  # its text would repeat the URL with the password
            raise EnvironmentUnusable(FORM) from None
        if not _begin_session(connection):
            if not session:
                connection.close()
                return pooled.PooledConnection.to(url, redacted(url), autocommit=autocommit, **options)
            if not pooled.keeps_sessions(url, **options):
                connection.close()
                raise EnvironmentUnusable(_pooler(url))
            _begin_session(connection, anyway=True)
        connection.autocommit = autocommit
        return connection


def require_session(database: Database) -> None:
    """Raise EnvironmentUnusable where what needs a session would get none, before anything is done."""
    with database_errors(database.session_url):
        connect(database.session_url, session=True).close()


def _begin_session(connection: Connection, anyway: bool = False) -> bool:
    """Set what every connection needs for as long as it lasts, unless a pooler answers; whether none does."""
    values = {"pid": connection.info.backend_pid, "anyway": anyway}
    row = connection.execute(sql("session"), values).fetchone()
    return row is not None and bool(row["direct"])


def is_pooled(connection: Connection) -> bool:
    """Whether this connection goes through a pooler, so that nothing stays in its session."""
    from radretrieval.archive.pooled import PooledConnection

    return isinstance(connection, PooledConnection)


def _pooler(url: str) -> str:
    return f"the database at {redacted(url)} is behind a pooler in transaction mode, as pgbouncer has one: {DIRECT}"


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Translate psycopg's errors of connection and privilege into ours, which say what to do."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        ours = _refusal(error) or _unavailable(url, error)
        if ours is None:
            raise
        raise ours from error


def _refusal(error: Exception) -> EnvironmentUnusable | None:
    """Ours for an error that the same request would meet again: a right or a table that is missing."""
    from psycopg import errors

    if isinstance(error, errors.InsufficientPrivilege):
        return PrivilegeMissing(
            f"the database refuses it: {_first(error)}; log in as a role that may: that of a service does what its "
            "service does, the owner (a member of radretrieval_owner) all else; radretrieval db check --role SERVICE "
            "names each right that the role of a service lacks, with the SQL that grants it"
        )
    if isinstance(error, errors.UndefinedTable):
        return SchemaOutdated(
            f"the archive's schema is not the one this version needs ({_first(error)}); run: radretrieval db upgrade"
        )
    return None


# A connection that fails has no SQLSTATE in libpq, only what the server said.
_LOGIN = ("authentication failed", " does not exist", "no pg_hba.conf entry", "not permitted to log in")


def _unavailable(url: str, error: Exception) -> DatabaseUnavailable | None:
    """Ours for an error that may pass; what was not committed is rolled back."""
    import psycopg
    from psycopg import errors

    if isinstance(error, errors.ReadOnlySqlTransaction):
        told = _read_only(url, error)
    elif isinstance(error, errors.QueryCanceled):
        told = (
            f"the database ended a statement before it was done: {_first(error)}; ask the DBA for a longer one (ALTER "
            "ROLE role SET statement_timeout = ...)"
        )
    elif isinstance(error, errors.ProtocolViolation) and "query_wait_timeout" in str(error):
        told = (
            f"the pooler at {redacted(url)} had no connection free for as long as it waits ({_first(error)}): its pool "
            "is too small, or others hold it; ask the DBA for more (default_pool_size)"
        )
    elif isinstance(error, errors.DiskFull):
        told = (
            f"the server has no room: {_first(error)}; make room on its disk, or give it more shared memory where the "
            "message names a segment (a container: --shm-size 1g)"
        )
    elif isinstance(error, errors.LockNotAvailable):
        told = f"a table is in use by another transaction ({_first(error)}); wait, or end it (radretrieval health)"
    elif isinstance(error, errors.SerializationFailure):
        told = (
            f"the database ended a transaction: {_first(error)}; on a standby, ask the DBA for "
            "max_standby_streaming_delay or hot_standby_feedback"
        )
    elif isinstance(error, psycopg.OperationalError) and any(part in str(error) for part in _LOGIN):
        told = (
            f"the server of {redacted(url)} answers, and refuses the login: {_first(error)}; check role, password and "
            "database (RADRETRIEVAL_DATABASE_URL, --database-url), and the server's pg_hba.conf"
        )
    elif isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | errors.IdleInTransactionSessionTimeout):
        told = (
            f"the database at {redacted(url)} cannot be used: {_first(error)}; check that it runs (one of yours: that "
            "RADRETRIEVAL_DATABASE_URL or --database-url names it)"
        )
    else:
        return None
    return DatabaseUnavailable(f"{told}, then run it again: nothing is half-written")


@contextmanager
def filter_errors(connection: Connection, own_sql: bool) -> Iterator[None]:
    """Translate errors that a filter causes into UsageError.

    Parameters
    ----------
    own_sql : the filter contains SQL of the user: it runs in a read-only transaction.
    """
    import psycopg
    from psycopg import errors

    try:
        if own_sql:
            with connection.transaction():
                connection.execute(sql("read_only"))
                yield
        else:
            yield
    except (errors.InvalidParameterValue, errors.CheckViolation) as error:  # as our own functions raise them
        raise UsageError(_first(error)) from error
    except errors.InsufficientPrivilege as error:
        if not own_sql:
            raise
        raise UsageError(
            f"--where-sql: {_first(error)}; the DBA allows SQL of one's own in filters with: GRANT EXECUTE ON FUNCTION "
            f"radretrieval.filter_sql(text) TO {connection.info.user};"
        ) from error
    except (psycopg.ProgrammingError, psycopg.DataError, errors.ReadOnlySqlTransaction) as error:
        if not own_sql:
            raise
        raise UsageError(f"--where-sql: {_first(error)}; it is a condition on image i, as in i.rows > 2000") from error


def _read_only(url: str, error: Exception) -> str:
    """The message for a server that takes no writes: a standby is called one."""
    import psycopg

    row = None
    with suppress(psycopg.Error), connect(url) as connection:
        row = connection.execute(sql("standby")).fetchone()
    if row is not None and row["standby"]:
        return f"the database at {redacted(url)} is a standby: {STANDBY}"
    return (
        f"the database at {redacted(url)} is read-only at present: {_first(error)}; wait for a failover to end, or ask "
        "the DBA for default_transaction_read_only = off"
    )


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def restart_embedded(database: Database, settings: Settings) -> None:
    """Start the embedded server again if the archive's database is one; logs a warning where that fails.

    No supervisor restarts it: each of its users does when its connection was lost.
    """
    if not database.embedded:
        return
    from radretrieval.archive.embedded import shared_server

    try:
        shared_server.start(settings.home, settings.embedded_start_seconds)
    except EmbeddedServerError as error:
        log.warning("embedded_server", "%(reason)s", reason=error)


def with_restart(database: Database, settings: Settings, connected: Callable[[], T]) -> T:
    """What `connected` returns; it is called again where the embedded server was gone, which is started before."""
    try:
        return connected()
    except DatabaseUnavailable:
        if not database.embedded:
            raise
    restart_embedded(database, settings)
    return connected()


def snapshot(connection: Connection) -> None:
    """Make this transaction REPEATABLE READ, so that its statements see one snapshot; to be called first in it."""
    connection.execute(sql("snapshot"))

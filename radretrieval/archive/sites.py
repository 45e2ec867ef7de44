"""The archives of a federation: the file that lists them, and one question asked of all of them at once."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
import tomllib
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from radretrieval.archive.queries import sql
from radretrieval.config import Settings
from radretrieval.errors import InputMissing, UsageError

T = TypeVar("T")
AsyncConnection = psycopg.AsyncConnection[dict[str, Any]]
ALL = "all"  # what stands for every site, and is the name of none
_LEAVING_SECONDS = 1.0  # at most, for the tasks of sites that are late to end
_NAME = re.compile(r"[\w.-]{1,63}", re.ASCII)


@dataclass(frozen=True)
class Site:
    """An archive of a federation: its name in the file of sites, and the libpq URL of its database."""

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What came of asking a site.

    Attributes
    ----------
    value : its answer; None where there is none. problem : why there is none. milliseconds : from the start on.
    """

    site: str
    value: T | None
    problem: str | None
    milliseconds: float


def sites_of(settings: Settings, names: Collection[str] = ()) -> list[Site]:
    """The sites of these names, by name; all of the file where none is named, or one is `all`.

    Raises UsageError for a file that is not of the form, an unknown name, and a URL with a password in it.
    """
    path = settings.sites_file or settings.home / "sites.toml"
    listed = _read(path)
    wanted = set(names) - {ALL}
    if unknown := sorted(wanted - listed.keys()):
        raise UsageError(f"--site {unknown[0]}: {path} has no such site; it has: {', '.join(sorted(listed))}")
    if ALL in names or not wanted:
        wanted = set(listed)
    return [listed[name] for name in sorted(wanted)]


def _read(path: Path) -> dict[str, Site]:
    form = 'it is a table for each site, as [north] and below it url = "postgresql://role@host/database"'
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputMissing(
            f"the file of sites {path} cannot be read ({error.strerror}); RADRETRIEVAL_SITES_FILE names it; {form}"
        ) from error
    except ValueError as error:
        raise UsageError(f"the file of sites {path} is not TOML ({error}); {form}") from error
    found = {}
    for name, table in document.items():
        if not isinstance(table, dict) or set(table) != {"url"} or not isinstance(table["url"], str):
            raise UsageError(f"the site {name} in {path} is not of the form; {form}, and nothing else")
        if _NAME.fullmatch(name) is None or name == ALL:
            raise UsageError(
                f"a site in {path} cannot be called {name!r}: letters, digits and ._- make a name, not {ALL}"
            )
        found[name] = Site(name, _checked(table["url"], f"the site {name} in {path}"))
    if not found:
        raise UsageError(f"the file of sites {path} has none; {form}")
    return found


def _checked(url: str, which: str) -> str:
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):  # its text would repeat the URL, with a password
        raise UsageError(f"{which} has no URL of the form postgresql://role@host:5432/database") from None
    if not parts.keys().isdisjoint(("password", "sslpassword")):
        raise UsageError(
            f"{which} has a password in its URL; write it into ~/.pgpass (or a file that passfile=FILE names), or name "
            "a service of ~/.pg_service.conf, as postgresql:///?service=north, and leave it out here"
        )
    return url


def ask(sites: Sequence[Site], question: Callable[[AsyncConnection], Awaitable[T]], deadline: float) -> list[Reply[T]]:
    """Ask sites at once, each over a connection of its own, until all have answered or the deadline passes.

    Parameters
    ----------
    question : asks one site; its statements run in autocommit mode. deadline : seconds, for connecting and asking.

    Returns
    -------
    A reply for each site, in the same order; a site without an answer is named with its reason.

    Raises UsageError as `question` raises it: what one site refuses for a wrong request, all would.
    """

    def run() -> list[Reply[T]]:
        loop = _Loop()
        try:
            return loop.run_until_complete(_ask(sites, question, deadline))
        finally:
            loop.close()

    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have an event loop that runs, as notebooks have
        return thread.submit(run).result()


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that looks names up in daemon threads: closing it, and ending the process, waits for none."""

    async def getaddrinfo(self, *arguments: Any, **options: Any) -> Any:
        """See `asyncio.loop.getaddrinfo`."""
        found = self.create_future()

        def settle(result: Any, error: OSError | None) -> None:
            if not found.done():
                found.set_result(result) if error is None else found.set_exception(error)

        def look_up() -> None:
            outcome: tuple[Any, OSError | None]
            try:
                outcome = socket.getaddrinfo(*arguments, **options), None
            except OSError as error:
                outcome = None, error
            except UnicodeError as error:  # no such name can be, as one with two dots in a row
                outcome = None, OSError(str(error))
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self.call_soon_threadsafe(settle, *outcome)

        threading.Thread(target=look_up, daemon=True).start()
        return await found


async def _ask(
    sites: Sequence[Site], question: Callable[[AsyncConnection], Awaitable[T]], deadline: float
) -> list[Reply[T]]:
    connections: dict[str, AsyncConnection] = {}
    tasks = [asyncio.create_task(_ask_one(site, question, deadline, connections)) for site in sites]
    _, late = await asyncio.wait(tasks, timeout=deadline)
    # without a socket, psycopg has nothing to wait for when the task is cancelled; it would for ten seconds
    for site, task in zip(sites, tasks, strict=True):
        if task in late:
            if site.name in connections:
                connections[site.name].pgconn.finish()
            task.cancel()
    if late:
        await asyncio.wait(late, timeout=_LEAVING_SECONDS)
    nothing = f"no answer within {deadline:g} s"
    return [
        Reply(site.name, None, nothing, deadline * 1000) if task in late else task.result()
        for site, task in zip(sites, tasks, strict=True)
    ]


async def _ask_one(
    site: Site,
    question: Callable[[AsyncConnection], Awaitable[T]],
    deadline: float,
    connections: dict[str, AsyncConnection],
) -> Reply[T]:
    start = time.perf_counter()
    value = problem = connection = None
    try:
        connection = await psycopg.AsyncConnection.connect(
            site.url,
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,  # behind a pooler statements do not stay
            client_encoding="utf8",
            fallback_application_name="radretrieval",
            connect_timeout=max(2, int(deadline) + 1),
        )
        connections[site.name] = connection
        value = await question(connection)
    except psycopg.Error as error:
        problem = await _problem(error, connection)
    finally:
        if connection is not None:
            connection.pgconn.finish()
    return Reply(site.name, value, problem, round((time.perf_counter() - start) * 1000, 3))


async def _problem(error: psycopg.Error, connection: AsyncConnection | None) -> str:
    """Why a site has no answer; of one without our functions, what revision it is at."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if connection is None:
        return f"cannot be reached: {first}"
    if isinstance(error, errors.NoDataFound | errors.FeatureNotSupported):  # as federated_nearest raises them
        return first
    if isinstance(error, errors.QueryCanceled):
        return f"ended the question before it was answered: {first}"
    if isinstance(error, errors.InsufficientPrivilege):
        return f"refuses it: {first}; its DBA grants the role what radretrieval_search has"
    if isinstance(error, errors.UndefinedFunction | errors.UndefinedTable | errors.InvalidSchemaName):
        with suppress(psycopg.Error):
            row = await (await connection.execute(sql("revision"))).fetchone()
            at = row["version_num"] if row else "none"
            return f"is at revision {at} without the function federated_nearest; upgrade radretrieval there"
        return "has no archive in its database, or none that this role may see"
    if connection.closed:
        return f"went away: {first}"
    return f"cannot answer: {first}"

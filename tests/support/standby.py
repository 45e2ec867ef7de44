"""Copies of the session's embedded server by pg_basebackup: a standby of it, or a primary of its own with standbys."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from databases import Server, database_of, wait_for
from psycopg.rows import tuple_row

from radretrieval.archive.embedded import account


@dataclass
class Copy:
    """A server that runs on a copy of another's data; its socket is in `folder`."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        """The URL of a database on it."""
        return f"postgresql://radretrieval@/{database}?host={self.folder}"

    def ask(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, in a transaction of its own."""
        with psycopg.connect(self.url(database), autocommit=True, row_factory=tuple_row) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """End it at once, as a machine that fails does: its processes see that the first one is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def copied(url: str, *options: str, standby: bool = False) -> Iterator[Copy]:
    """A copy of the server that has the database of `url`, which runs while the block does.

    Parameters
    ----------
    options : of pg_basebackup; `-R`: it is a standby that follows that server.
    standby : it is a standby that follows none.
    """
    folder = Path(tempfile.mkdtemp(prefix="rr-s-"))
    folder.chmod(0o755)
    user = account.server_account(folder)
    account.change_owner(folder, user)
    who = account.identity(user)
    programs, data = account.binaries(user), folder / "data"
    try:
        command = [programs / "pg_basebackup", "-d", url, "-D", data, "--checkpoint=fast", "--no-sync", *options]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **who)
        if standby:
            (data / "standby.signal").touch()
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([programs / "postgres", "-D", data, "-k", folder], stderr=log, cwd="/", **who)
        made = Copy(folder, process)
        try:
            wait_for(made.url(database_of(url)), process, folder / "log")
            yield made
        finally:
            process.send_signal(signal.SIGINT)  # ends it also where others are connected
            process.wait(30)
    finally:
        shutil.rmtree(folder)


@contextmanager
def standby(server: Server, url: str) -> Iterator[str]:
    """The URL of the database of `url` on a standby that is started for this block."""
    _needs_embedded(server)
    with copied(server.url, standby=True) as made:
        yield made.url(database_of(url))


@contextmanager
def replicated(server: Server, standbys: int) -> Iterator[list[Copy]]:
    """A primary of its own, with all that the session's server has, and behind it standbys that follow it."""
    _needs_embedded(server)
    with ExitStack() as stack:
        primary = stack.enter_context(copied(server.url))
        first = primary.url(database_of(server.url))
        yield [primary, *(stack.enter_context(copied(first, "-R")) for _ in range(standbys))]


def _needs_embedded(server: Server) -> None:
    if server.backend != "embedded":
        pytest.skip("a base backup is made of the embedded server only")

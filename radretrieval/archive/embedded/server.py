"""The embedded server's processes: finding, starting, awaiting and ending them.

What runs is learnt from the processes themselves and from the socket, never from `postmaster.pid`: that file
survives crashes, and its process id may since belong to anyone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.archive.embedded import account
from radretrieval.archive.embedded import cluster as clusters
from radretrieval.archive.embedded.cluster import Cluster
from radretrieval.errors import EmbeddedServerError

if TYPE_CHECKING:
    import psutil

STOP_SECONDS = 60.0
"""How long a shutdown, with its last checkpoint, may take."""

_FAST_SECONDS = 10.0  # then without that checkpoint

_ORPHAN_SECONDS = 3.0
_LOG_LINES = 5

# kept so that a server which this process started and which died is reaped, not left as a zombie
_launched: list[subprocess.Popen[bytes]] = []


def bring_up(home: Path, deadline: float) -> Cluster:
    """Return the home's cluster once its server answers, made and started if need be.

    Raises
    ------
    EmbeddedServerError
        It does not answer by `deadline` (of `time.monotonic`), or it died.
    """
    cluster = Cluster.find(home)
    if cluster is None:
        who = account.account(home)
        cluster = clusters.create(home, who, account.binaries(who), deadline - time.monotonic())
    launched: subprocess.Popen[bytes] | None = None
    log_start = 0
    while True:
        # asked before the attempt, so that a server that died after it still gets its last chance to answer
        dead = launched is not None and launched.poll() is not None
        reason = _answer(cluster, deadline)
        if reason is None:
            return cluster
        if dead:
            raise EmbeddedServerError(
                f"the embedded server did not start; {_log_tail(cluster, log_start)}; mend that, or set "
                "RADRETRIEVAL_DATABASE_URL to another server"
            )
        if time.monotonic() >= deadline:
            raise EmbeddedServerError(_too_slow(cluster, reason, log_start))
        if launched is None and not cluster.listens() and _is_down(cluster):
            log_start = cluster.log.stat().st_size if cluster.log.exists() else 0
            launched = _launch(cluster, deadline)
        # a server that recovers writes each refusal to its log
        time.sleep(0.1 if cluster.listens() else 0.01)


def shut_down(data: Path) -> None:
    """Stop the server of a data directory (fast shutdown) and wait until all of it is gone.

    Raises
    ------
    EmbeddedServerError
        It is still there after `STOP_SECONDS`.
    """
    import psutil

    running = processes(data)
    main = _postmaster(running)
    if main is None:
        _end_orphans(running)
        return
    start = time.monotonic()
    while (passed := time.monotonic() - start) < STOP_SECONDS:
        # A fast shutdown that meets the recovery from a crash never ends (PostgreSQL 18: its checkpointer and io
        # workers are not told to go). An immediate one loses nothing that was committed: the next start recovers it.
        hopeless = passed > _FAST_SECONDS or _recovers(processes(data))
        try:
            main.send_signal(signal.SIGQUIT if hopeless else signal.SIGINT)
        except psutil.NoSuchProcess:
            return
        if _gone([main], 0.5):
            return
    raise EmbeddedServerError(
        f"the embedded server (process {main.pid}) has not stopped within {STOP_SECONDS:.0f} s: its disk does not "
        "answer; wait, or restart this machine; nothing that was committed is lost"
    )


def _recovers(running: list[psutil.Process]) -> bool:
    """Whether a server brings its files in order after a crash, before it serves again."""
    import psutil

    for process in running:
        try:
            if process.cmdline()[0].startswith("postgres: startup"):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
            continue
    return False


def runs(cluster: Cluster) -> bool:
    """Whether a server runs, be it ready or not.

    Raises
    ------
    EmbeddedServerError
        It does, but out of this process's sight.
    """
    if processes(cluster.data):
        return True
    if cluster.listens():
        raise EmbeddedServerError(f"the embedded server in {cluster.home} runs in another container: stop it there")
    return False


def processes(data: Path) -> list[psutil.Process]:
    """Return the living processes of the server that runs on a data directory; zombies are dead."""
    import psutil

    for child in _launched:
        child.poll()
    found = []
    for pid in psutil.pids():  # process_iter would hand out what it remembers of an earlier owner of a pid
        try:
            process = psutil.Process(pid)
            # an administrator's shell in that folder is none of ours
            if process.name() == "postgres" and process.cwd() == str(data) and _is_same(pid, data):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie is a NoSuchProcess
            continue
    return found


def _is_same(pid: int, data: Path) -> bool:
    """Tell a server on a deleted folder from one on the folder that has since taken its name."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data)
    except OSError:
        return True  # no /proc, or the folder itself is gone


def _postmaster(running: list[psutil.Process]) -> psutil.Process | None:
    import psutil

    pids = {process.pid for process in running}
    for process in running:
        try:
            # the others call themselves "postgres: checkpointer" and so on
            if process.ppid() not in pids and not process.cmdline()[0].startswith("postgres: "):
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
            continue
    return None


def _is_down(cluster: Cluster) -> bool:
    """Whether a server may be started; removes the files of a dead one that would prevent it.

    A living postmaster is starting or stopping. Processes that have lost theirs still write: they are ended.
    """
    # both hold the pid of their maker; PostgreSQL itself goes by that alone, whoever has it now
    pid_files = (cluster.data / "postmaster.pid", cluster.socket.with_name(f"{cluster.socket.name}.lock"))
    before = [_signature(file) for file in pid_files]
    running = processes(cluster.data)
    if _postmaster(running) is not None:
        return False
    _end_orphans(running)
    for file, signature in zip(pid_files, before, strict=True):
        # one that has changed since belongs to a server which came up meanwhile
        if signature is not None and _signature(file) == signature:
            file.unlink()
    return True


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _end_orphans(orphans: list[psutil.Process]) -> None:
    """End what a killed postmaster has left behind; most end by themselves at once.

    SIGKILL loses nothing more than the crash already has: what was committed is in the log.
    """
    import psutil

    if _gone(orphans, _ORPHAN_SECONDS):
        return
    for process in orphans:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    if not _gone(orphans, _ORPHAN_SECONDS):
        pids = ", ".join(str(process.pid) for process in orphans)
        raise EmbeddedServerError(
            f"processes of an embedded server that died cannot be ended ({pids}): their disk does not "
            "answer; restart this machine"
        )


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _gone(waited: list[psutil.Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        for child in _launched:
            child.poll()
        waited = [process for process in waited if _lives(process)]
        if not waited or time.monotonic() >= deadline:
            return not waited
        time.sleep(0.005)


def _launch(cluster: Cluster, deadline: float) -> subprocess.Popen[bytes]:
    who = account.account(cluster.home)
    programs = account.binaries(who)
    if not account.enterable(cluster.data, who):
        raise EmbeddedServerError(
            f"the server runs as user {who.uid if who else os.geteuid()}, who cannot enter {cluster.data}: "
            "make that folder and all in it this user's, and let the user pass each folder above it"
        )
    cluster.check_version(who, programs, deadline - time.monotonic())
    cluster.configure(who)
    log = cluster.open_log()
    try:
        process = subprocess.Popen(
            [programs / "postgres", "-D", cluster.data],
            cwd="/",
            env=account.ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **account.identity(who),
        )
    finally:
        os.close(log)
    _launched[:] = [child for child in _launched if child.poll() is None] + [process]
    return process


def _answer(cluster: Cluster, deadline: float) -> str | None:
    """Connect and make sure that the archive's database exists.

    Returns why there is no answer yet, None when there is one.
    """
    if not cluster.listens():
        return "nothing listens on its socket"
    import psycopg

    name = clusters.NAME
    try:
        with psycopg.connect(
            host=str(cluster.sockets),
            port=clusters.PORT,
            user=name,
            dbname="postgres",
            connect_timeout=max(2, int(deadline - time.monotonic())),
            autocommit=True,
        ) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(f"CREATE DATABASE {name}")
    except psycopg.Error as error:
        reason = str(error).strip().rpartition("FATAL:")[2].strip()
        # "… is starting up", "… is shutting down", "… is in recovery mode", or a server too busy to answer
        if "the database system" in reason or isinstance(error, psycopg.errors.ConnectionTimeout):
            return reason
        if "FATAL:" in str(error) or not isinstance(error, psycopg.OperationalError):
            raise EmbeddedServerError(
                f"the embedded server in {cluster.home} refuses its own user: {reason}; see {cluster.log}"
            ) from error
        return reason
    return None


def _too_slow(cluster: Cluster, reason: str, log_start: int) -> str:
    main = _postmaster(processes(cluster.data))
    if main is None:
        return f"the embedded server in {cluster.home} does not answer: {reason}; try again"
    return (
        f"the embedded server in {cluster.home} (process {main.pid}) does not answer yet: {reason}; "
        f"{_log_tail(cluster, log_start)}; it goes on: try again later, raise "
        f"RADRETRIEVAL_EMBEDDED_START_SECONDS, or stop it with `radretrieval db stop --force`"
    )


def _log_tail(cluster: Cluster, start: int) -> str:
    try:
        lines = cluster.log.read_bytes()[start:].decode(errors="replace").split("\n")
    except OSError:
        lines = []
    last = [line for line in lines if line.strip()][-_LOG_LINES:]
    return f"{cluster.log} ends with: " + (" | ".join(last) or "nothing")

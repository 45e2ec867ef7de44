"""The embedded server: started, awaited and stopped.

Whether it runs is decided by its processes and its socket.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg

from radretrieval.archive.embedded import account, processes
from radretrieval.archive.embedded.cluster import NAME, PORT, Cluster, create
from radretrieval.errors import EmbeddedServerError

_FAST_SECONDS = 10.0  # for a shutdown with a last checkpoint; then without
_LOG_LINES = 5


def bring_up(home: Path, deadline: float) -> Cluster:
    """Make and start the home's cluster if need be, and return it when its server answers.

    Raises EmbeddedServerError where it does not answer by `deadline` (of `time.monotonic`), or has ended.
    """
    cluster = Cluster.find(home)
    if cluster is None:
        user = account.server_account(home)
        cluster = create(home, user, account.binaries(user), deadline - time.monotonic())
    launched: subprocess.Popen[bytes] | None = None
    log_start = 0
    while True:
        # before the attempt to connect: a server that has ended by then had a last attempt
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


def shut_down(data: Path, seconds: float) -> None:
    """Stop the server of a data directory (fast shutdown) and wait until its postmaster has ended.

    Raises EmbeddedServerError where it still runs after so many seconds.
    """
    running = processes.running(data)
    main = processes.postmaster(running)
    if main is None:
        processes.end_orphans(running)
        return
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        # A fast shutdown during the recovery from a crash never ends (PostgreSQL 18 does not stop its checkpointer and
        # io workers then). An immediate one loses nothing that was committed: the next start recovers it.
        hopeless = passed > _FAST_SECONDS or processes.is_recovering(processes.running(data))
        try:
            main.send_signal(signal.SIGQUIT if hopeless else signal.SIGINT)
        except psutil.NoSuchProcess:
            return
        if processes.have_ended([main], 0.5):
            return
    raise EmbeddedServerError(
        f"the embedded server (process {main.pid}) has not stopped within {seconds:.0f} s: its disk does not "
        "answer; wait, or restart this machine; nothing that was committed is lost"
    )


def runs(cluster: Cluster) -> bool:
    """Whether a server runs, ready or not.

    Raises EmbeddedServerError where it runs in another process namespace.
    """
    if processes.running(cluster.data):
        return True
    if cluster.listens():
        raise EmbeddedServerError(f"the embedded server in {cluster.home} runs in another container: stop it there")
    return False


def _is_down(cluster: Cluster) -> bool:
    """Whether no postmaster runs; processes and lock files that an ended one has left are removed.

    A postmaster that runs is starting or stopping. Processes without one still write, so they are ended.
    """
    # both files hold a process id; PostgreSQL refuses to start if any process has it
    pid_files = (cluster.data / "postmaster.pid", cluster.socket.with_name(f"{cluster.socket.name}.lock"))
    before = [_signature(file) for file in pid_files]
    running = processes.running(cluster.data)
    if processes.postmaster(running) is not None:
        return False
    processes.end_orphans(running)
    for file, signature in zip(pid_files, before, strict=True):
        # a file that has changed since is that of a server which was started meanwhile
        if signature is not None and _signature(file) == signature:
            file.unlink()
    return True


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _launch(cluster: Cluster, deadline: float) -> subprocess.Popen[bytes]:
    user = account.server_account(cluster.home)
    programs = account.binaries(user)
    if not account.can_enter(cluster.data, user):
        raise EmbeddedServerError(
            f"the server runs as user {user.uid if user else os.geteuid()}, who cannot enter {cluster.data}: "
            "make that folder and all in it this user's, and let the user pass each folder above it"
        )
    cluster.check_version(user, programs, deadline - time.monotonic())
    cluster.configure(user)
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
            **account.identity(user),
        )
    finally:
        os.close(log)
    processes.launched(process)
    return process


def _answer(cluster: Cluster, deadline: float) -> str | None:
    """Connect and make sure that the archive's database exists.

    Returns why there is no answer yet, None when there is one.
    """
    if not cluster.listens():
        return "nothing listens on its socket"
    try:
        with psycopg.connect(
            host=str(cluster.sockets),
            port=PORT,
            user=NAME,
            dbname="postgres",
            connect_timeout=max(2, int(deadline - time.monotonic())),
            autocommit=True,
        ) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {NAME}")
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
    main = processes.postmaster(processes.running(cluster.data))
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

"""The processes of an embedded server: found by name and working directory, awaited and ended.

`postmaster.pid` is not used: that file survives crashes, and its process id may since belong to another process.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psutil

from radretrieval.errors import EmbeddedServerError

_ORPHAN_SECONDS = 3.0

# polled, so that a server which this process started and which died is reaped, not left as a zombie
_launched: list[subprocess.Popen[bytes]] = []


def launched(process: subprocess.Popen[bytes]) -> None:
    """Note a server that this process has started."""
    _launched[:] = [child for child in _launched if child.poll() is None] + [process]


def running(data: Path) -> list[psutil.Process]:
    """Return the living processes of the server that runs on a data directory; zombies are dead."""
    for child in _launched:
        child.poll()
    found = []
    for pid in psutil.pids():  # process_iter would hand out what it remembers of an earlier owner of a pid
        try:
            process = psutil.Process(pid)
            # not an administrator's shell in that folder
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


def postmaster(server: list[psutil.Process]) -> psutil.Process | None:
    """The server's main process, which started the others; None where it has ended."""
    pids = {process.pid for process in server}
    for process in server:
        try:
            # the others call themselves "postgres: checkpointer" and so on
            if process.ppid() not in pids and not process.cmdline()[0].startswith("postgres: "):
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
            continue
    return None


def is_recovering(server: list[psutil.Process]) -> bool:
    """Whether a server replays its log after a crash, before it accepts connections."""
    for process in server:
        try:
            if process.cmdline()[0].startswith("postgres: startup"):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
            continue
    return False


def end_orphans(orphans: list[psutil.Process]) -> None:
    """End the processes of a postmaster that was killed; most end by themselves at once.

    SIGKILL loses nothing that was committed: that is in the log.

    Raises EmbeddedServerError where one cannot be ended.
    """
    if have_ended(orphans, _ORPHAN_SECONDS):
        return
    for process in orphans:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    if not have_ended(orphans, _ORPHAN_SECONDS):
        pids = ", ".join(str(process.pid) for process in orphans)
        raise EmbeddedServerError(
            f"processes of an embedded server that died cannot be ended ({pids}): their disk does not "
            "answer; restart this machine"
        )


def have_ended(waited: list[psutil.Process], seconds: float) -> bool:
    """Wait until these processes have ended; False where one has not after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        for child in _launched:
            child.poll()
        waited = [process for process in waited if _lives(process)]
        if not waited or time.monotonic() >= deadline:
            return not waited
        time.sleep(0.005)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

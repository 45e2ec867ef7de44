"""An embedded server for a test of a backup, in a folder of its own that is removed afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radretrieval.archive.embedded import account, shared_server
from radretrieval.archive.embedded.cluster import make_home, open_private
from radretrieval.errors import UsageError


@contextmanager
def scratch_server(home: Path, seconds: float) -> Iterator[str]:
    """The URL of an empty database on a server of its own, in the folder `scratch` of the home.

    What a killed process left there is removed first.

    Parameters
    ----------
    seconds : that its start may take.

    Raises UsageError while another process has it, EmbeddedServerError.
    """
    make_home(home)
    folder = home.resolve() / "scratch"
    handle = open_private(home / "scratch.lock", os.O_RDWR)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another process uses the scratch server in {folder}; wait for it to end") from None
        _remove(folder)
        try:
            yield shared_server.start(folder, seconds)
        finally:
            _remove(folder)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Stop the server in a folder, and remove it with its data, which may lie elsewhere (`cluster.create`)."""
    if not folder.exists():
        return
    shared_server.release(folder)
    shared_server.stop(folder, force=True)
    data = (folder / "postgres").resolve()
    if account.STATE in data.parents:
        shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)

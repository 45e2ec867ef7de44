"""A standby of the session's embedded server: a base backup of it that stays in recovery and answers reads."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from databases import Server, database_of, wait_for

from radretrieval.archive.embedded import account


@contextmanager
def standby(server: Server, url: str) -> Iterator[str]:
    """The URL of the database of `url` on a standby that is started for this block."""
    if server.backend != "embedded":
        pytest.skip("a base backup is made of the embedded server only")
    folder = Path(tempfile.mkdtemp(prefix="rr-s-"))
    folder.chmod(0o755)
    user = account.server_account(folder)
    account.change_owner(folder, user)
    who = account.identity(user)
    programs, data = account.binaries(user), folder / "data"
    try:
        command = [programs / "pg_basebackup", "-d", server.url, "-D", data, "--checkpoint=fast", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **who)
        (data / "standby.signal").touch()
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([programs / "postgres", "-D", data, "-k", folder], stderr=log, cwd="/", **who)
        try:
            made = f"postgresql://radretrieval@/{database_of(url)}?host={folder}"
            wait_for(made, process, folder / "log")
            yield made
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder)

"""A real server of the site's own without pgvector: what its DBA is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from databases import wait_for


def plain_binaries() -> Path | None:
    """The programs of an installed PostgreSQL, 15 or newer, that has no pgvector."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin")):
        version = int(folder.parent.name)
        if version >= 15 and not Path(f"/usr/share/postgresql/{version}/extension/vector.control").exists():
            return folder
    return None


@pytest.fixture
def plain_url() -> Iterator[str]:
    """The URL of such a server, started for this test on a Unix socket."""
    binaries = plain_binaries()
    if binaries is None or not (binaries / "postgres").exists():
        pytest.skip("no PostgreSQL without pgvector is installed here")
    folder = Path(tempfile.mkdtemp(prefix="rr-plain-"))
    who: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    if who:
        shutil.chown(folder, **who)
    data = str(folder / "data")
    try:
        init = [binaries / "initdb", "-D", data, "-U", "site", "-E", "UTF8", "--locale=C", "-A", "trust"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="],
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **who,
        )
        try:
            url = f"postgresql://site@/postgres?host={folder}"
            wait_for(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def test_the_dba_is_told_what_to_install(plain_url: str, cli: Any) -> None:
    for command in (("db", "upgrade"), ("db", "check"), ("status",)):
        done: Run = cli(*command, url=plain_url, check=False)
        assert done.returncode == 3
        assert "has no pgvector; install it on the server's host" in done.stderr
        assert done.stderr.strip().endswith("as a superuser in postgres: CREATE EXTENSION vector;")

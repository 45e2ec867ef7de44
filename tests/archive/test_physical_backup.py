"""A base backup and archived WAL bring an archive back to the moment before a mistake, by the commands of the page."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from databases import Server

from radretrieval.archive.embedded import account, shared_server
from radretrieval.archive.opening import check, open_database
from radretrieval.config import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("### Physical backups\n")[2].partition("\n## ")[0]
ADD = (
    "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric) "
    "VALUES (sha256(%s), %s, 'png', 1, 1, 8, 'M')"
)


def blocks() -> list[str]:
    """The indented blocks of the page's section."""
    return [part.replace("\n    ", "\n")[4:] for part in re.findall(r"(?:^    .*\n)+", SECTION, re.MULTILINE)]


def images(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT uri FROM radretrieval.image ORDER BY id")]


def test_back_to_the_moment_before_a_mistake(server: Server) -> None:
    if server.backend != "embedded":
        pytest.skip("of the wheel's programs")
    home = Path(tempfile.mkdtemp(prefix="rr-p-"))
    home.chmod(0o755)
    user, backups = account.server_account(home), home / "backup"
    settings = Settings(home=home, database_url=None)
    for folder in (home, backups, backups / "wal"):
        folder.mkdir(exist_ok=True)
        account.change_owner(folder, user)

    def shell(script: str) -> None:
        text = script.replace("/backup/", f"{backups}/").replace("/var/lib/radretrieval/postgres", f"{home}/postgres")
        path = f"{account.binaries(user)}:/usr/bin:/bin"
        told = subprocess.run(
            ["bash", "-euc", text],
            env={"PATH": path, "URL": url},
            cwd="/",
            capture_output=True,
            text=True,
            **account.identity(user),
        )
        assert told.returncode == 0, f"{text}\n{told.stderr}"

    configure, base, back = blocks()
    try:
        url = open_database(settings).url
        shared_server.stop(home)
        shell(f"cat >> /var/lib/radretrieval/postgres/postgresql.conf <<'EOF'\n{configure}EOF")
        shared_server.start(home)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ADD, (b"1", "before the base backup"))
            shell(base)
            connection.execute(ADD, (b"2", "after it"))
            time.sleep(0.01)
            moment = connection.execute("SELECT clock_timestamp()::text").fetchone()
            time.sleep(0.01)
            connection.execute("DELETE FROM radretrieval.image")  # the mistake
            connection.execute("SELECT pg_switch_wal()")
            assert moment is not None
        assert images(url) == []
        shared_server.stop(home, force=True)
        shell(re.sub(r"2026-\S+ [^']+", moment[0], back))
        shared_server.start(home)
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(300):
                if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                    break
                time.sleep(0.1)
        assert images(url) == ["before the base backup", "after it"]
        check(open_database(settings))
        with psycopg.connect(url) as connection:  # it takes writes again
            connection.execute(ADD, (b"3", "and on"))
    finally:
        shared_server.release(home)
        shutil.rmtree(home)

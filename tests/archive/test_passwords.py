"""The password of the database: the ways that libpq takes it, and nowhere that it is shown."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import psycopg
import pytest
from conftest import Run, clean_environment
from databases import Server, database_of
from inside import run_inside
from programs import needs_program
from psycopg.conninfo import conninfo_to_dict
from tls_front import authority, tls_front
from typer.main import get_command

from radretrieval.archive.connections import Database
from radretrieval.cli.app import app
from radretrieval.config import Settings
from radretrieval.storage.worker_pool import WorkerPool

PASSWORD, WRONG = "Canary/5:of@the#base", "Falsch/5:of@the#base"


@dataclass(frozen=True)
class Guarded:
    """An archive, a role that owns it, and no way in without its password.

    Attributes
    ----------
    user : the role. parts : host, port and database, as libpq names them.
    """

    user: str
    parts: dict[str, str]

    def url(self, password: str | None = PASSWORD, **more: str) -> str:
        """The URL, with the password in it unless that is None."""
        place = {name: value for name, value in self.parts.items() if name != "dbname"} | more
        said = "&".join(f"{name}={quote(value, safe='')}" for name, value in place.items())
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{self.user}{secret}@/{self.parts['dbname']}?{said}"


@pytest.fixture(scope="module")
def guarded(server: Server, migrated_template: str) -> Iterator[Guarded]:
    user = f"rr_guarded_{secrets.token_hex(4)}"
    with server.database(template=migrated_template) as url, psycopg.connect(url, autocommit=True) as dba:
        dba.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if name in ("host", "port")}
        one = Guarded(user, {**parts, "dbname": database_of(url)})
        row = dba.execute("SHOW hba_file").fetchone()
        rules = Path(row[0]) if row else None
        before = rules.read_text() if rules is not None and os.access(rules, os.W_OK) else None
        try:
            if rules is not None and before is not None:
                rules.write_text(f"local all {user} scram-sha-256\nhost all {user} all scram-sha-256\n{before}")
                dba.execute("SELECT pg_reload_conf(), pg_sleep(0.2)")
            try:
                psycopg.connect(one.url(WRONG)).close()
            except psycopg.OperationalError:
                yield one
            else:
                pytest.skip("the server lets roles in without a password")
        finally:
            if rules is not None and before is not None:
                rules.write_text(before)
                dba.execute("SELECT pg_reload_conf()")
            dba.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")  # type: ignore[call-overload]


def test_a_service_file(guarded: Guarded, inside: Callable[..., Run], tmp_path: Path) -> None:
    lines = [f"{name}={value}" for name, value in {**guarded.parts, "user": guarded.user}.items()]
    (tmp_path / "services").write_text("\n".join(["[radiology]", *lines, ""]))
    (tmp_path / "password").write_text(PASSWORD)
    named = {"PGSERVICEFILE": str(tmp_path / "services")}
    url = "postgresql:///?service=radiology"
    refused = inside("db", "check", url=url, check=False, **named)
    assert (refused.returncode, "the database at postgresql:///?service=radiology" in refused.stderr) == (3, True)
    inside("db", "check", url=url, **named, RADRETRIEVAL_DATABASE_PASSWORD_FILE=str(tmp_path / "password"))
    (tmp_path / "services").write_text("\n".join(["[radiology]", *lines, f"password={PASSWORD}", ""]))
    inside("db", "check", url=url, **named)


def test_a_password_file_of_libpq(guarded: Guarded, inside: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / ".pgpass"
    file.write_text(f"*:*:*:{guarded.user}:{PASSWORD.replace(':', chr(92) + ':')}\n")
    file.chmod(0o600)
    inside("db", "check", url=guarded.url(None), PGPASSFILE=str(file))
    file.write_text(f"*:*:*:{guarded.user}:{WRONG}\n")
    assert inside("db", "check", url=guarded.url(None), check=False, PGPASSFILE=str(file)).returncode == 3


def test_tls_with_the_certificate_of_the_server_checked(
    guarded: Guarded, server: Server, inside: Callable[..., Run], tmp_path: Path
) -> None:
    needs_program("openssl")
    for name in ("ours", "other"):
        authority(tmp_path, name)
    with tls_front(server.url, tmp_path / "ours.pem", tmp_path / "ours.key") as port:
        there = {"hostaddr": "127.0.0.1", "port": str(port), "sslmode": "verify-full"}

        def check(host: str, signer: str) -> Run:
            url = guarded.url(host=host, sslrootcert=str(tmp_path / f"{signer}-ca.pem"), **there)
            return inside("status", url=url, check=False)

        assert check("localhost", "ours").returncode == 0
        for host, signer, reason in (
            ("localhost", "other", "certificate verify failed"),
            ("elsewhere.example", "ours", "does not match host name"),
        ):
            done = check(host, signer)
            assert (done.returncode, reason in done.stderr) == (3, True), done.stderr
            assert PASSWORD not in done.stderr


# What a command needs on its line before it comes to the database; `None`: it never comes to one.
WORDS: dict[str, tuple[str, ...] | None] = {
    "ingest": (".",),
    "receive": ("--port", "0"),
    "pull": ("http://127.0.0.1:9/",),
    "search": ("id:1",),
    "serve": ("--port", "0"),
    "work": ("--once",),
    "export": ("out",),
    "db url": None,  # prints it: that is what it is for
    "db stop": None,
    "db roles": ("--sql",),
    "audit export": ("audit.json",),
    "audit prune": ("--older-than", "12m"),
    "audit dismiss": ("1",),
    "encoder activate": ("1",),
    "encoder delete": ("1",),
    "encoder export": ("one.safetensors",),
    "encoder import": ("one.safetensors",),
    "feedback export": ("said.csv",),
    "backup": ("backup",),
    "restore": ("backup",),
    "users add": None,
    "phantom": None,
    "demo": None,
}
LONG = ("receive", "serve", "train")  # with a password that is right they would run for ever, or import what takes long


def commands() -> list[str]:
    found = []
    for name, one in get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [f"{name} {inner}" for inner in one.commands] if hasattr(one, "commands") else [name]
    return sorted(found)


@pytest.mark.parametrize("password", [PASSWORD, WRONG], ids=["right", "wrong"])
def test_no_command_shows_the_password(guarded: Guarded, tmp_path: Path, password: str) -> None:
    """In output, log and tracebacks, as it is and as a URL has it; in words and environment of child processes."""
    shown, started = [], []
    begin = subprocess.Popen.__init__

    def watched(self: Any, args: Any, *others: Any, **options: Any) -> None:
        given = options.get("env") or os.environ
        started.append(([str(word) for word in args], dict(given)))
        begin(self, args, *others, **options)

    (tmp_path / "notes.png").write_bytes(b"no image")
    (tmp_path / "password").write_text(password)
    with patch.object(subprocess.Popen, "__init__", watched):
        for command in commands():
            words = WORDS.get(command, ())
            if words is None or (password == PASSWORD and command in LONG):
                continue
            ways = [{"url": guarded.url(password)}, {"file": str(tmp_path / "password")}]
            for way in ways if command == "status" else ways[:1]:
                told = clean_environment(tmp_path / "home", way.get("url") or guarded.url(None))
                told |= {"RADRETRIEVAL_DATABASE_PASSWORD_FILE": way["file"]} if "file" in way else {}
                done = run_inside(["-v", *command.split(), *words], told, tmp_path, check=False)
                said = done.stdout + done.stderr
                assert password == PASSWORD or done.returncode != 0 or command == "db roles", command
                shown += (
                    [f"{command}: {said}"] if any(one in said for one in (password, quote(password, safe=""))) else []
                )
    assert shown == []
    for words, environment in started:
        assert password not in " ".join(words)
        secret = {name for name, value in environment.items() if password in value or quote(password, safe="") in value}
        of_postgres = Path(words[0]).name in ("pg_dump", "pg_restore")
        assert not secret or of_postgres, (words, secret)


def test_nothing_made_of_settings_shows_it() -> None:
    url = f"postgresql://u:{quote(PASSWORD, safe='')}@h/d"
    for one in (
        Settings(database_url=url, direct_database_url=url, read_url=url),
        Database(url, direct=url, reader=Database(url)),
    ):
        assert quote(PASSWORD, safe="") not in f"{one!r} {one}"
        assert PASSWORD not in repr(one)


def test_decoding_processes_do_not_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"RADRETRIEVAL_{name.upper()}" for name, one in Settings.model_fields.items() if not one.repr]
    assert len(urls) >= 3
    names = [*urls, "PGPASSWORD"]
    for name in (*names, "RADRETRIEVAL_HOME"):
        monkeypatch.setenv(name, "/secret")
    with WorkerPool(1, os.getenv, timeout=30, megabytes=2000) as pool:
        found = dict(pool.map([*names, "RADRETRIEVAL_HOME"]))
    assert found == {**dict.fromkeys(names), "RADRETRIEVAL_HOME": "/secret"}

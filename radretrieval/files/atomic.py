"""Files that are whole or not there: a draft beside the file, fsync, rename, fsync of the folders."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRAFT_SUFFIX = ".part"

_synced: set[str] = set()  # folders whose names, and those of all above, this process has brought to the disk


@contextmanager
def replacing(
    path: Path, *, parents: bool = False, overwrite: bool = True, draft: Path | None = None
) -> Iterator[Path]:
    """The path of a draft, which becomes `path` when the block ends without an exception; it is on the disk then.

    The block makes the draft. After an exception it is removed; a killed process leaves it behind, a hidden file whose
    name ends in `DRAFT_SUFFIX`.

    Parameters
    ----------
    parents : make the folders that are missing, and bring their names to the disk (`sync_names`).
    overwrite : replace a file of that name; otherwise it stays, also if it was made during the block.
    draft : beside the file; None for a random name, so that several processes may write the file at once.

    Raises OSError.
    """
    if parents:
        make_folders(path.parent)
    draft = draft or path.with_name(f".{secrets.token_hex(8)}{DRAFT_SUFFIX}")
    try:
        yield draft
        _sync(draft)
        if overwrite:
            os.replace(draft, path)
        else:
            with suppress(FileExistsError):
                os.link(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink()
    sync_names(path) if parents else sync_folder(path.parent)


def write_bytes(
    path: Path,
    data: bytes,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
    parents: bool = False,
    overwrite: bool = True,
) -> None:
    """Write a file as `replacing` does.

    Parameters
    ----------
    mode : its permissions, whatever the umask is; until they are set only its owner can read it. None: as the umask
        has it.
    owner : user and group that it is given to, where this process may do that.

    Raises OSError.
    """

    def create(draft: str, flags: int) -> int:
        return os.open(draft, flags | os.O_NOFOLLOW, 0o666 if mode is None else 0o600)

    with replacing(path, parents=parents, overwrite=overwrite) as draft, open(draft, "xb", opener=create) as file:
        file.write(data)
        if owner is not None:
            with suppress(PermissionError):
                os.fchown(file.fileno(), *owner)
        if mode is not None:
            os.fchmod(file.fileno(), mode)


def make_folders(folder: Path, make: Callable[[Path], None] = Path.mkdir) -> None:
    """Make a folder and those above it that are missing, each by `make`; their names are not on the disk yet.

    Raises OSError.
    """
    missing = []
    for place in (folder, *folder.parents):
        if place.exists():
            break
        missing.append(place)
    _synced.difference_update(str(place.absolute()) for place in missing)
    for place in reversed(missing):
        with suppress(FileExistsError):
            make(place)


def sync_file(path: Path) -> None:
    """Bring a file that is there already to the disk, and its names: whoever made it may not be so far.

    Raises OSError.
    """
    _sync(path)
    sync_names(path)


def sync_names(path: Path) -> None:
    """Bring the name of a file, and those of the folders that it is in, to the disk.

    That a folder exists does not mean that its name is on the disk: another thread or process may have made it and not
    have synced it yet. Each is synced that this process has not synced itself, up to a mount point, or to one in a
    folder that this process may not write to. Raises OSError.
    """
    sync_folder(path.parent)
    synced = []
    for folder in path.absolute().parents:
        if str(folder) in _synced or os.path.ismount(folder) or not os.access(folder.parent, os.W_OK):
            break
        sync_folder(folder.parent)
        synced.append(str(folder))
    _synced.update(synced)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; `os.sync` does it where the folder cannot be opened. Raises OSError."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL):  # may not be listed; a file system without fsync of folders
            raise
        os.sync()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

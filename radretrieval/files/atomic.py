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
    path: Path, *, parents: bool = False, overwrite: bool = True, draft: Path | None = None, synced: bool = False
) -> Iterator[Path]:
    """The path of a draft, which becomes `path` when the block ends without an exception; it is on the disk then.

    The block makes the draft. After an exception it is removed; a killed process leaves it behind, a hidden file whose
    name ends in `DRAFT_SUFFIX`.

    Parameters
    ----------
    parents : make the folders that are missing, and bring their names to the disk (`sync_names`).
    overwrite : replace a file of that name; otherwise it stays, also if it was made during the block.
    draft : beside the file; None for a random name, so that several processes may write the file at once.
    synced : the block brings the draft to the disk itself.

    Raises OSError.
    """
    if parents:
        make_folders(path.parent)
    draft = draft or path.with_name(f".{secrets.token_hex(8)}{DRAFT_SUFFIX}")
    try:
        yield draft
        if not synced:
            _sync(draft)
        if overwrite:
            os.replace(draft, path)
        else:
            with suppress(FileExistsError):
                os.link(draft, path)
            with suppress(OSError):
                os.unlink(draft)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
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

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with replacing(path, parents=parents, overwrite=overwrite, synced=True) as draft:
        handle = os.open(draft, flags, 0o666 if mode is None else 0o600)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            if owner is not None:
                with suppress(PermissionError):
                    os.fchown(handle, *owner)
            if mode is not None:
                os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folders(folder: Path, make: Callable[[Path], None] = Path.mkdir) -> None:
    """Make a folder and those above it that are missing, each by `make`; their names are not on the disk yet.

    Raises OSError.
    """
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
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
    folder, synced = os.path.dirname(path.absolute()), []  # text: of each file that is stored this is a good part
    while folder not in _synced:
        above = os.path.dirname(folder)
        if _is_mount(folder) or not os.access(above, os.W_OK):
            break
        sync_folder(above)
        synced.append(folder)
        folder = above
    _synced.update(synced)


def _is_mount(folder: str) -> bool:
    """What `os.path.ismount` says, which looks at each folder above for links on its way."""
    here, above = os.stat(folder), os.stat(os.path.join(folder, ".."))
    return here.st_dev != above.st_dev or here.st_ino == above.st_ino


def sync_folder(folder: Path | str) -> None:
    """Bring the names in a folder to the disk; `os.sync` does it where the folder cannot be opened. Raises OSError."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL):  # may not be listed; a file system without fsync of folders
            raise
        os.sync()


def _sync(path: Path | str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

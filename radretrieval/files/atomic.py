"""Files that are whole or not there: a draft beside the file, fsync, rename, fsync of the folders."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRAFT_SUFFIX = ".part"


@contextmanager
def replacing(
    path: Path, *, parents: bool = False, overwrite: bool = True, draft: Path | None = None
) -> Iterator[Path]:
    """The path of a draft, which becomes `path` when the block ends without an exception; it is on the disk then.

    The block makes the draft. After an exception it is removed; a killed process leaves it behind, a hidden file whose
    name ends in `DRAFT_SUFFIX`.

    Parameters
    ----------
    parents : make the folders that are missing.
    overwrite : replace a file of that name; otherwise it stays, also if it was made during the block.
    draft : beside the file; None for a random name, so that several processes may write the file at once.

    Raises OSError.
    """
    made = [folder for folder in path.parents if not folder.exists()] if parents else []
    if made:
        path.parent.mkdir(parents=True, exist_ok=True)
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
    for folder in (path, *made):
        sync_folder(folder.parent)


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

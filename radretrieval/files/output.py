"""Files that a user names for results: refused before the work begins if they cannot be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radretrieval.errors import UsageError
from radretrieval.files.atomic import DRAFT_SUFFIX, replacing


def check_output(path: Path | str, suffix: str, what: str) -> Path:
    """The path of a file that can be written, as far as can be told beforehand.

    Parameters
    ----------
    suffix : what its name must end in, as `.png`. what : what it is, for the message: `picture`.

    Raises
    ------
    UsageError : the name ends otherwise, its folder is missing or may not be written, or it is a folder.
    """
    target = Path(path)
    if target.suffix.lower() != suffix:
        raise UsageError(f"{target} is not a name for a {what}; let it end in {suffix}")
    if not os.path.isdir(target.parent):
        raise UsageError(f"the folder {target.parent} for the {what} does not exist; make it or name another")
    if os.path.isdir(target):
        raise UsageError(f"{target} is a folder; name a file for the {what}")
    with _refused(target, what):  # rights, a name that is too long, a full disk: only writing tells
        _draft(target).touch()
        _draft(target).unlink()
    return target


@contextmanager
def output_file(path: Path, what: str) -> Iterator[Path]:
    """`replacing` for a file that a user named; a draft that a killed run left is overwritten.

    Parameters
    ----------
    what : what it is, for the message.

    Raises
    ------
    UsageError : it cannot be written.
    """
    with _refused(path, what), replacing(path, draft=_draft(path)) as draft:
        yield draft


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}{DRAFT_SUFFIX}")


@contextmanager
def _refused(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write the {what} {path}: {error.strerror or error}; name another file") from error

"""Files for people: refused before the work begins if they cannot be written, and complete or not there after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from radretrieval.errors import UsageError


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
    with whole(target, what, trial=True) as draft:  # rights, a name that is too long, a full disk: only writing tells
        draft.touch()
    return target


@contextmanager
def whole(path: Path, what: str, trial: bool = False) -> Iterator[Path]:
    """A temporary name beside `path`, which it gets when the block ends well; in a `trial` it is removed instead.

    Raises
    ------
    UsageError : it cannot be written.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        yield draft
        if not trial:
            os.replace(draft, path)
    except OSError as error:
        raise UsageError(f"cannot write the {what} {path}: {error.strerror or error}; name another file") from error
    finally:
        with suppress(OSError):
            draft.unlink()

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
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"the folder {target.parent} for the {what} cannot be written; name another")
    return target


@contextmanager
def whole(path: Path, what: str) -> Iterator[Path]:
    """A temporary name beside `path`, which it gets when the block ends well.

    Raises
    ------
    UsageError : it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UsageError(f"cannot write the {what} {path}: {error.strerror or error}; name another file") from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise

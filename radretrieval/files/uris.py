"""URIs of image files in the archive, and the paths on this machine that they stand for.

`file:` is a file on a disk; bytes of its name that are not UTF-8, which a text column would refuse, are escaped with
per cent signs. `file:hidden/` is one whose path is encrypted (`hidden_paths`). `store:` with the SHA-256 of the content
is a file in the archive's own store. `http:` and `https:` are an instance of a DICOMweb server. `#frame=N` at the end
of a URI is that frame of the file, from 1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from radretrieval.errors import ImageError
from radretrieval.files.hidden_paths import hide, reveal

_HIDDEN = "file:hidden/"


def to_uri(path: str | os.PathLike[str], key_file: Path | None = None) -> str:
    """The `file:` URI of a path, made absolute; symbolic links in it are not resolved.

    Parameters
    ----------
    key_file : of hidden paths (`Settings.path_key_file`); None for a URI that shows the path.
    """
    if key_file is not None:
        return _HIDDEN + hide(os.fsencode(os.path.abspath(path)), key_file)
    return Path(os.path.abspath(path)).as_uri()


def is_hidden(uri: str) -> bool:
    """Whether a URI hides the path of a file."""
    return uri.startswith(_HIDDEN)


def to_path(uri: str, key_file: Path | None = None) -> Path:
    """The path of a `file:` URI; raises ImageError for another kind of URI, and for a hidden path without its key."""
    if is_hidden(uri):
        return Path(os.fsdecode(reveal(file_uri(uri).removeprefix(_HIDDEN), key_file)))
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ImageError(f"is at {uri}, which is not a file on this machine")
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))


def store_uri(sha256: bytes) -> str:
    """The URI of a file in the archive's own store."""
    return f"store:{sha256.hex()}"


def frame_uri(uri: str, frame: int) -> str:
    """The URI of one frame, from 1, of a file with several."""
    return f"{uri}#frame={frame}"


def file_uri(uri: str) -> str:
    """The URI of the whole file, of which a URI may name one frame."""
    return re.sub(r"#frame=[0-9]+$", "", uri)


def frame_of(uri: str) -> int:
    """The frame that a URI names; 1 where it names none."""
    named = re.search(r"#frame=([1-9][0-9]{0,8})$", uri)
    return int(named[1]) if named else 1

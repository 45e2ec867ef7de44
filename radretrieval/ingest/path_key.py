"""Whether a host that ingests has the key of hidden paths that the archive's paths are hidden with."""

from __future__ import annotations

from pathlib import Path

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.errors import EnvironmentUnusable, ImageError
from radretrieval.files.uris import to_path
from radretrieval.logs import Log

log = Log(__name__)


def check_path_key(connection: Connection, key_file: Path | None) -> None:
    """Compare the key with the newest path that is hidden.

    A warning is logged where it was hidden with another key: files that are ingested are taken at their place of now.

    Raises EnvironmentUnusable where the archive hides paths, and there is no key here: paths would be stored in clear.
    """
    uri = images.hidden_uri(connection)
    if uri is None:
        return
    if key_file is None:
        raise EnvironmentUnusable(
            "the archive hides the paths of files, and no key of paths is named here; let RADRETRIEVAL_PATH_KEY_FILE "
            "name the archive's; nothing was written"
        )
    try:
        to_path(uri, key_file)
    except ImageError:
        log.warning(
            "other_path_key",
            "paths in the archive are hidden with another key than %(key)s (RADRETRIEVAL_PATH_KEY_FILE): name that "
            "key, or, if it is lost, ingest every file again; those that are ingested now are hidden with this one",
            key=key_file,
        )

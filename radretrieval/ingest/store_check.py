"""Is the store of this host the archive's? One that is not mounted, or another folder, has none of its files."""

from __future__ import annotations

from collections.abc import Sequence

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, StoreUnavailable
from radretrieval.logs import Log
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.store_identity import require_same_store

log = Log(__name__)

LEAST, MOST = 8, 16  # files that are looked for; of fewer, all may be lost


def check_store(connection: Connection, store: ContentStore, also: Sequence[bytes] = ()) -> None:
    """Raise StoreUnavailable where the store has none of the newest files that the archive keeps in it, or went away.

    Who would go on would note each image as unreadable, or write new files where no other host looks for them.

    Parameters
    ----------
    also : SHA-256 of further files that must be there, as of the last that came and are no images yet.
    """
    require_same_store(store.folder)
    wanted = [store.path(sha256) for sha256 in also]
    for row in images.newest_kept(connection, MOST):
        reduced = store.reduced_path(row["sha256"], row["frame"])
        wanted.append(reduced if row["kept"] == "reduced" else store.path(row["sha256"]))
    if len(wanted) >= LEAST and not any(path.exists() for path in wanted):
        raise StoreUnavailable(
            f"the store {store.folder} has none of the {len(wanted)} newest files that the archive keeps in it; mount "
            "the archive's store there, or let RADRETRIEVAL_STORE name it. If they are lost: restore the backup, or "
            "have `radretrieval verify` note what is gone, and what came last sent again"
        )


def check_keeping(connection: Connection, settings: Settings) -> None:
    """The same where ingested files are kept in the store."""
    if settings.keep != "reference":
        check_store(connection, ContentStore(settings.store_folder))


def log_unavailable(error: EnvironmentUnusable, seconds: float) -> None:
    """Log why a service waits so long before it tries again."""
    if isinstance(error, StoreUnavailable):
        log.warning("store_unavailable", "%(reason)s; trying again in %(seconds).0f s", reason=error, seconds=seconds)
    else:
        log.warning(
            "database_unavailable", "%(reason)s; trying again in %(seconds).0f s", reason=error, seconds=seconds
        )

"""The archive as a Python object: what `radretrieval` does at the command line, as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from radretrieval.api.audit import ArchiveAudit
from radretrieval.api.backups import ArchiveBackups
from radretrieval.api.base import StrPath, make_settings
from radretrieval.api.client import RemoteArchive
from radretrieval.api.codes import ArchiveCodes
from radretrieval.api.federation import ArchiveFederation
from radretrieval.api.input import ArchiveInput
from radretrieval.api.queries import ArchiveQueries
from radretrieval.api.removal import ArchiveRemoval
from radretrieval.api.upkeep import ArchiveUpkeep
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    from radretrieval.config import Settings


class Archive(
    ArchiveInput,
    ArchiveCodes,
    ArchiveQueries,
    ArchiveFederation,
    ArchiveUpkeep,
    ArchiveRemoval,
    ArchiveAudit,
    ArchiveBackups,
):
    """An archive of radiographs: a context manager that closes what it has opened.

    It opens its database when that is first needed; `open_archive` does so at once. One thread uses it at a time.

    Parameters
    ----------
    settings : None for those of the environment.
    """


@overload
def open_archive(url: None = None, *, home: StrPath | None = None, settings: Settings | None = None) -> Archive: ...
@overload
def open_archive(
    url: str, *, home: StrPath | None = None, settings: Settings | None = None, **options: Any
) -> Archive | Any: ...
def open_archive(
    url: str | None = None, *, home: StrPath | None = None, settings: Settings | None = None, **options: Any
) -> Archive | Any:
    """Open an archive whose database can be used as it stands, or one that `radretrieval serve` serves elsewhere.

    The embedded server's database is made and upgraded by itself; one of yours by `radretrieval db upgrade`.

    Parameters
    ----------
    url : `postgresql://user@host/database`; None for that of the settings, and the embedded server where it has none.
        `http://host:8000/` or https: the archive is served there, and what comes back is a `RemoteArchive`.
    home : folder of the embedded server, the cache and the keys; None for that of the settings.
    settings : None for those of the environment.
    options : of `RemoteArchive`.

    Raises
    ------
    DatabaseUnavailable, EnvironmentUnusable, SchemaOutdated, EmbeddedServerError : with what to do.
    UsageError : a setting that is not usable.
    """
    if url is not None and url.startswith(("http://", "https://")):
        return RemoteArchive(url, **options).open()
    if options:
        raise UsageError(f"open_archive: {', '.join(options)} belongs to an archive that is served (http://host:8000/)")
    archive = Archive(make_settings(settings, database_url=url, home=home))
    try:
        return archive.open()
    except BaseException:
        archive.close()
        raise


train = Archive.train
evaluate = Archive.evaluate

"""The archive as a Python object: what `radretrieval` does at the command line, as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radretrieval.api.base import StrPath, make_settings
from radretrieval.api.codes import ArchiveCodes
from radretrieval.api.input import ArchiveInput
from radretrieval.api.queries import ArchiveQueries
from radretrieval.api.upkeep import ArchiveUpkeep

if TYPE_CHECKING:
    from radretrieval.config import Settings


class Archive(ArchiveInput, ArchiveCodes, ArchiveQueries, ArchiveUpkeep):
    """An archive of radiographs: a context manager that closes what it has opened.

    It opens its database when that is first needed; `open_archive` does so at once. One thread uses it at a time.

    Parameters
    ----------
    settings : None for those of the environment.
    """


def open_archive(url: str | None = None, *, home: StrPath | None = None, settings: Settings | None = None) -> Archive:
    """Open an archive whose database can be used as it stands.

    The embedded server's database is made and upgraded by itself; one of yours by `radretrieval db upgrade`.

    Parameters
    ----------
    url : `postgresql://user@host/database`; None for that of the settings, and the embedded server where it has none.
    home : folder of the embedded server, the cache and the keys; None for that of the settings.
    settings : None for those of the environment.

    Raises
    ------
    DatabaseUnavailable, EnvironmentUnusable, SchemaOutdated, EmbeddedServerError : with what to do.
    UsageError : a setting that is not usable.
    """
    archive = Archive(make_settings(settings, database_url=url, home=home))
    try:
        return archive.open()
    except BaseException:
        archive.close()
        raise


train = Archive.train
evaluate = Archive.evaluate

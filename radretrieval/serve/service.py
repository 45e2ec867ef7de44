"""What the routes share: the archive's settings, its database, the searchers and the decoding processes."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

from radretrieval.api.archive import Archive
from radretrieval.archive.connections import Database
from radretrieval.archive.opening import open_database
from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.archive_films import ArchiveFilms
from radretrieval.serve.searchers import Searchers


class Service:
    """An archive that is served; a context manager.

    Attributes
    ----------
    settings, options : of the archive, and of the service.
    database : the archive's, from `__enter__` on. films : of its images, from `__enter__` on.
    database : the archive's, from `__enter__` on. searchers : of it.
    """

    def __init__(self, settings: Settings, options: ServeSettings) -> None:
        self.settings = settings
        self.options = options
        self._stack = ExitStack()

    def __enter__(self) -> Service:
        with self._stack as stack:
            stack.enter_context(Archive(self.settings)).open()  # of the embedded server's users, who keep it running
            self.database: Database = open_database(self.settings)
            self.films = stack.enter_context(ArchiveFilms(self.settings, self.options))
            self.searchers = Searchers(self.database, self.settings, self.options.searches)
            stack.callback(self.searchers.close)
            threading.Thread(target=self.searchers.warm_up, name="warm-up", daemon=True).start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._stack.__exit__(*problem)

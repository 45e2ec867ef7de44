"""What an open archive holds: its settings, its database, and the searcher with the loaded network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO, TypeVar

from radretrieval.api.noting import note, noted
from radretrieval.errors import DatabaseUnavailable, NoEncoder, UsageError

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from radretrieval.archive.connections import Database
    from radretrieval.archive.encoders import Encoder
    from radretrieval.config import ServeSettings, Settings
    from radretrieval.search.searcher import Searcher

    S = TypeVar("S", bound=BaseSettings)
    K = TypeVar("K", bound=Searcher)

StrPath = str | os.PathLike[str]

_servers: Counter[Path] = Counter()  # archives of this process that use the embedded server of a home


class Progress(Protocol):
    """Is called with what was finished since the last call, the total where it is known, and the current step."""

    def __call__(self, count: int, total: int | None = None, step: str | None = None, /) -> None: ...


def make_settings(settings: Settings | None = None, **changes: object) -> Settings:
    """Settings with some of them changed; those of the environment where none are given.

    Parameters
    ----------
    changes : by name; None leaves a setting as it is.

    Raises
    ------
    UsageError : a value that a setting cannot have.
    """
    from radretrieval.config import Settings

    return _made(Settings, settings, changes)


def make_serve_settings(**changes: object) -> ServeSettings:
    """The settings of `serve`, as `make_settings` those of the archive."""
    from radretrieval.config import ServeSettings

    return _made(ServeSettings, None, changes)


def _made(kind: type[S], settings: S | None, changes: dict[str, object]) -> S:
    from pydantic import ValidationError

    try:
        made = kind() if settings is None else settings.model_copy()
        for name, value in changes.items():
            if value is not None:
                made.__pydantic_validator__.validate_assignment(made, name, value)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{kind.model_config.get('env_prefix')}{'_'.join(map(str, first['loc'])).upper()}"
        raise UsageError(f"the setting {name} is not usable: {first['msg']}") from None
    return made


def path_list(paths: StrPath | Iterable[StrPath]) -> list[Path]:
    """One path, or several, as a list."""
    return [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]


def optional_path(path: StrPath | None) -> Path | None:
    """A path, or None."""
    return None if path is None else Path(path)


def counted(progress: Progress | None, total: int | None = None) -> Callable[[int], None] | None:
    """A progress callback that is called with a number alone."""
    return None if progress is None else lambda count: progress(count, total)


class ArchiveBase:
    """An archive that is opened when it is first used.

    Parameters
    ----------
    settings : None for those of the environment.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = make_settings(settings)
        self._found_database: Database | None = None
        self._uses_server = False
        self._kept_searcher: Searcher | None = None

    def _note(self, action: str, detail: Mapping[str, Any]) -> None:
        note(self._database, action, detail)

    def _noted(self, action: str, **detail: Any) -> AbstractContextManager[dict[str, Any]]:
        return noted(self._database, action, **detail)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and leave the embedded server: its last user stops it. It may be used again."""
        try:
            self._drop_searcher()
        finally:
            self._found_database = None
            if self._uses_server:
                self._uses_server = False
                _servers[self.settings.home] -= 1
                if not _servers[self.settings.home]:
                    from radretrieval.archive.embedded import shared_server

                    shared_server.release(self.settings.home)

    def _use_server(self) -> None:
        """Count this archive among the users of the embedded server, if it is one."""
        if self.settings.database_url is None and not self._uses_server:
            self._uses_server = True
            _servers[self.settings.home] += 1

    @property
    def url(self) -> str:
        """The libpq URL of the database, with its password; starts the embedded server where that is used."""
        from radretrieval.archive import urls

        self._use_server()
        return urls.database_url(self.settings)

    @property
    def _database(self) -> Database:
        """The database, found usable."""
        if self._found_database is None:
            from radretrieval.archive import opening

            self._use_server()
            self._found_database = opening.open_database(self.settings)
        return self._found_database

    def _searcher(self, encoder: int | None, device: str) -> Searcher:
        from radretrieval.search.searcher import Searcher

        return self._kept(Searcher, encoder, device)

    def _kept(self, kind: type[K], encoder: int | None, device: str) -> K:
        """A searcher of this kind, encoder and device: the last one, with its network, while those are the same."""
        kept = self._open_searcher(kind, encoder, device)
        if kept is not None:
            try:
                if kept.refresh():
                    return kept
            except DatabaseUnavailable:  # the connection was lost: a new one is made below
                pass
        self._drop_searcher()
        from radretrieval.archive.connections import with_restart

        def opened() -> K:
            made = kind(self._database, self.settings, device, encoder)
            made.__enter__()
            return made

        found = self._kept_searcher = with_restart(self._database, self.settings, opened)
        return found

    def _open_searcher(self, kind: type[K], encoder: int | None, device: str) -> K | None:
        """The last searcher, if it is of this kind, encoder and device; its encoder may have changed meanwhile."""
        kept = self._kept_searcher
        if type(kept) is kind and (kept.encoder_id, kept.device) == (encoder, device):
            return kept
        return None

    def _drop_searcher(self) -> None:
        kept, self._kept_searcher = self._kept_searcher, None
        if kept is not None:
            kept.__exit__(None, None, None)

    def open(self) -> Self:
        """Open the database now, if it is not open.

        Raises
        ------
        DatabaseUnavailable, EnvironmentUnusable, SchemaOutdated, EmbeddedServerError : with what to do.
        """
        _ = self._database
        return self

    def check(self, service: str | None = None) -> dict[str, Any]:
        """Check that the database can be used as it stands, and that its functions, views and triggers are ours.

        Parameters
        ----------
        service : for which the role of this connection must have the rights: owner, ingest, worker, search, analyst or
            auditor; None for those whose roles it is a member of.

        Returns
        -------
        revision, head (the revision that this version needs), server_version, pgvector_version, pgvector_update (what
        to do where the server's host has another version of pgvector, else None), whether it is a standby, which
        answers searches and takes no writes, whether it is behind a pooler, and the services that the role was checked
        for.

        Raises
        ------
        As `open`; EnvironmentUnusable names each right that the role lacks or has too much, SchemaOutdated each
        object that was dropped or replaced, DatabaseUnavailable each session that waits for another's lock.
        """
        from radretrieval.archive import connections, locks, opening, role_check
        from radretrieval.archive.schema import objects

        url = self.url  # not _database: a role without rights cannot open it
        with connections.Database(url).connection() as connection:
            services = role_check.check(connection, service)
        if self._database.direct is not None:
            connections.require_session(self._database)
        with self._database.connection() as connection:
            locks.check(connection)
        objects.check(self._database)
        return {**opening.check(self._database), "services": services}

    def upgrade(self) -> dict[str, Any]:
        """Bring the schema, its functions and its views to this version's; returns what `check` returns."""
        from radretrieval.archive import migrations, opening, urls

        url = self.url
        migrations.upgrade(urls.direct_url(self.settings) or url)
        return opening.check(self._database)

    def print_upgrade(self, output: TextIO, start: str | None = None) -> None:
        """Write the SQL of an upgrade, for a DBA to run by hand.

        Parameters
        ----------
        start : revision of the database that it is for; `base`: there is nothing yet; None: as this one stands.
        """
        from radretrieval.archive import connections, migrations, opening

        if start is None and self.settings.database_url is None:
            raise UsageError(
                "db upgrade --sql needs a database to start from: name it with --database-url, or its revision with "
                "--from (base: there is nothing yet)"
            )
        if start is None:
            start = opening.revision_of(connections.Database(self.url)) or "base"
        migrations.print_sql(output, start)

    def print_roles(self, output: TextIO, patients: bool = True) -> None:
        """Write the SQL that makes the roles of the services and sets their rights, for a DBA to run; asks no database.

        Parameters
        ----------
        patients : whether analysts see the pseudonyms of patients.
        """
        from radretrieval.archive import roles

        output.write(roles.script(patients))

    def stop_server(self, force: bool = False) -> bool:
        """Stop the embedded server; returns whether one ran.

        Parameters
        ----------
        force : stop it even while other processes use it.
        """
        if self.settings.database_url is not None:
            raise UsageError(
                "db stop stops the embedded server only; the database of --database-url is its DBA's to stop"
            )
        from radretrieval.archive.embedded import shared_server

        return shared_server.stop(self.settings.home, force)

    def encoder(self, encoder: int | None = None) -> Encoder:
        """An encoder by its id; None for the active one.

        Raises
        ------
        NoEncoder : there is none, or none is active. UsageError : an unknown id.
        """
        from radretrieval.archive import encoders

        with self._database.connection() as connection:
            return encoders.get(connection, encoder)

    def status(self) -> dict[str, Any]:
        """Counts of the archive: images, coded, pending, failed, …; its index, standbys, the versions of its server."""
        from dataclasses import asdict

        from radretrieval.archive import encoders, images, opening, readers
        from radretrieval.archive.search import exact_index

        facts = opening.check(self._database)
        with self._database.connection() as connection:
            counts = images.counts(connection)
            try:
                index = exact_index.facts(connection, encoders.get(connection), counts["coded"])
            except NoEncoder:
                index = None
            standbys = [asdict(one) for one in readers.states(self._database, connection)]
        return {
            "images": counts["images"],
            "coded": counts["coded"],
            "pending": counts["images"] - counts["hidden"] - counts["coded"],
            **{
                name: counts[name]
                for name in ("failed", "arrived", "hidden", "gone", "same_uid", "flat", "encoders", "database_bytes")
            },
            "index": index,
            "readers": standbys,
            "server_version": facts["server_version"],
            "pgvector_version": facts["pgvector_version"],
        }

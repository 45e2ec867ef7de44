"""A site in small: an archive under load, whose disks, networks and processes faults can get at.

The database, its WAL and the store each have a tmpfs of their own (root; else folders, and what fills disks is left
out). `work`, `ingest` and searchers of the Python API use the embedded server, and bring it back; another `work`,
`serve` and `receive` reach it through a proxy, as they would a server of the site's own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from radretrieval.archive import migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import processes, shared_server
from radretrieval.archive.embedded.cluster import Cluster
from radretrieval.files.uris import to_uri

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import tiny
from killing import COMMAND, write_files
from proxy import Proxy

TESTS = Path(__file__).parents[1] / "tests"
FILMS = 300
SIZES = {"home": "900m", "wal": "250m", "store": "120m"}  # of the file systems
SMALL_WAL = "max_wal_size = '96MB'\nmin_wal_size = '32MB'\n"
PATIENCE = 180.0


@dataclass
class Service:
    """A service of ours that runs until it is ended, and is started again where it ended by itself, as by systemd."""

    words: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    ends: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Start it; the log is continued."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(COMMAND), *self.words], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def keep(self) -> None:
        """Start it again where it has ended."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self.ends.append(code)
            self.start()

    def end(self) -> int:
        """SIGTERM, and SIGKILL after 30 seconds; its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Site:
    """An archive of `FILMS` images, with two encoders that have coded all and an exact index of the first.

    Attributes
    ----------
    home, store, wal : where the database, the store and the WAL are. films : the folder that is ingested.
    url : libpq's, through the Unix socket. proxy : to it; remote : the URL through it.
    tmpfs : whether the disks are file systems of their own, which can be filled.
    """

    def __init__(self, folder: Path, seed: int, tmpfs: bool) -> None:
        self.folder, self.tmpfs = folder, tmpfs
        self.home, self.wal, self.store = (folder / name for name in ("home", "wal", "store"))
        self.films = folder / "films"
        write_files(self.films, FILMS, 4, seed)
        shared_server.start(self.home)
        shared_server.stop(self.home, force=True)
        self._own_wal()
        self.url = shared_server.start(self.home)
        migrations.upgrade(self.url)
        with Database(self.url).connection() as connection:
            self.encoders = tiny.add_encoder(connection), tiny.add_encoder(connection, seed=1)
        self.run("ingest", str(self.films), expect=1)
        for encoder in self.encoders:
            self.run("work", "--once", "--device", "cpu", "--encoder", str(encoder))
        self.run("index", "build")
        cluster = Cluster.find(self.home)
        assert cluster is not None
        self.data = cluster.data
        self.proxy = Proxy(cluster.socket)
        self.remote = f"postgresql://radretrieval@127.0.0.1:{self.proxy.port}/radretrieval"

    def _own_wal(self) -> None:
        """Put the WAL on its file system, and keep it small."""
        data = (self.home / "postgres").resolve()
        shutil.move(data / "pg_wal", self.wal / "pg_wal")
        owner = data.stat()
        for path in (self.wal, self.wal / "pg_wal", *(self.wal / "pg_wal").rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        (data / "pg_wal").symlink_to(self.wal / "pg_wal")
        with (data / "postgresql.conf").open("a") as file:
            file.write(SMALL_WAL)

    def environment(self, remote: bool = False) -> dict[str, str]:
        """The environment of a command; `remote`: the database by TCP, through the proxy."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
        ours = {"RADRETRIEVAL_HOME": str(self.home), "RADRETRIEVAL_STORE": str(self.store / "files")}
        where = {"RADRETRIEVAL_DATABASE_URL": self.remote} if remote else {}
        return kept | ours | where | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}

    def run(self, *words: str, expect: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command; raises AssertionError where it ends with another exit code than expected (None: any)."""
        options = {"env": self.environment(), "timeout": PATIENCE} | options
        done = subprocess.run([str(COMMAND), *words], capture_output=True, text=True, **options)
        if expect not in (None, done.returncode):
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def service(self, name: str, *words: str, remote: bool = False) -> Service:
        """A service, started."""
        made = Service([*words], self.environment(remote), self.folder / f"{name}.log")
        made.start()
        return made

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection of its own to the archive, past the proxy; in a `with`, committed and closed."""
        return psycopg.connect(self.url, connect_timeout=10, options="-c search_path=radretrieval,public", **options)

    def rows(self, statement: str, *values: object) -> list[Any]:
        """What the archive answers."""
        with self.connect() as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[call-overload]

    def change(self, *statements: str) -> None:
        """Statements, in one transaction."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def server(self) -> list[Any]:
        """The server's processes, its postmaster first."""
        found = processes.running(self.data)
        main = processes.postmaster(found)
        return sorted(found, key=lambda process: main is None or process.pid != main.pid)

    def new_film(self, number: int) -> str:
        """One more file in the folder that is ingested; its URI."""
        write_files(self.folder / f"new-{number}", 1, 0, 10_000 + number)
        (source,) = (self.folder / f"new-{number}").iterdir()
        target = source.rename(self.films / f"n{number:06}.png")
        source.parent.rmdir()
        return to_uri(str(target))

    @contextlib.contextmanager
    def filled(self, name: str) -> Iterator[None]:
        """A disk without a free byte for the time of the block: `home`, `wal` or `store`."""
        ballast = self.folder / name / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(2**16)):
                    pass
            yield
        finally:
            ballast.unlink()


@contextlib.contextmanager
def site(seed: int) -> Iterator[Site]:
    """A site in a temporary folder; all of it is gone afterwards, its file systems too."""
    folder = Path(tempfile.mkdtemp(prefix="rr-faults-"))
    folder.chmod(0o755)
    mounted = []
    try:
        for name, size in SIZES.items():
            (folder / name).mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "radretrieval", str(folder / name)]
            if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
                mounted.append(folder / name)
        made = Site(folder, seed, len(mounted) == len(SIZES))
        yield made
        made.proxy.close()
    finally:
        with contextlib.suppress(Exception):
            shared_server.stop(folder / "home", force=True)
        with contextlib.suppress(Exception):
            shared_server.release(folder / "home")
        for place in mounted:
            deadline = time.monotonic() + 20
            while subprocess.run(["umount", str(place)], capture_output=True).returncode:
                if time.monotonic() > deadline:
                    subprocess.run(["umount", "-l", str(place)], check=False)
                    break
                time.sleep(0.5)
        shutil.rmtree(folder, ignore_errors=True)

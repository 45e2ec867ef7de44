"""What kills of commands and servers need: files, prepared archives, commands that can be killed.

Used by `benchmarks/soak.py`, and through it by test_kill.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
import tiny
from PIL import Image

from radretrieval.archive import migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import processes, shared_server
from radretrieval.archive.embedded.cluster import Cluster
from radretrieval.files.uris import to_uri

COMMAND = Path(sys.executable).with_name("radretrieval")
SIDE = 40  # pixels; small files make many transactions a second
BATCH = 8  # images of one transaction of the worker
PATIENCE = 120.0  # seconds that a command may take
WORK_SHARE = 4  # the worker's archive has one in so many of the images
GRACE = 15.0  # seconds in which what a kill leaves behind must be gone
DONE_BY_ITSELF = {"ingest": 1, "work": 0}  # exit codes; 1: the broken files

ROWS = """
SELECT 'image', id::text, uri, xmin::text FROM radretrieval.image UNION ALL
SELECT 'cnnc', image_id::text, encoder_id::text, xmin::text FROM radretrieval.cnnc UNION ALL
SELECT 'barcode', image_id::text, geometry_id::text, xmin::text FROM radretrieval.barcode UNION ALL
SELECT 'ingest_failure', uri, '', '' FROM radretrieval.ingest_failure
"""
Row = tuple[str, str, str, str]


def kill_embedded(home: Path) -> None:
    """Kill every process of the embedded server of this home; those left end when the postmaster is gone."""
    cluster = Cluster.find(home)
    assert cluster is not None
    for process in processes.running(cluster.data):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@dataclass(frozen=True)
class Usual:
    """An undisturbed run: seconds from its start to its first decoding process, and to its end."""

    begin: float
    end: float


class Command:
    """`radretrieval …` in a process of its own, which knows its descendants by a mark in their environment."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._mark = uuid.uuid4().hex
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [str(COMMAND), *arguments],
            env=kept | {"RADRETRIEVAL_HOME": str(home), "KILLING_MARK": self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for process in self.descendants():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, to this process alone."""
        self._process.kill()
        self._process.communicate()

    def wait(self, seconds: float) -> None:
        """Until it ends, at most so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def works(self) -> bool:
        """Whether it decodes: the embedded server, which may be its child too, has not this environment."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return any(self._is_marked(child) for child in psutil.Process(self._process.pid).children())
        return False

    def wait_for_work(self) -> None:
        """Until it decodes, or ends without."""
        while self.runs and not self.works():
            time.sleep(0.02)

    def end(self) -> tuple[int | None, str, str]:
        """Its exit code (None: it did not end, and was killed), stdout and stderr."""
        try:
            out, errors = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return None, "", ""
        return self._process.returncode, out, errors

    def descendants(self) -> list[psutil.Process]:
        """Living processes that it started, orphans included."""
        others = (process for process in psutil.process_iter() if process.pid != self._process.pid)
        return [process for process in others if self._is_marked(process)]

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("KILLING_MARK") == self._mark  # a zombie has no environment
        except psutil.Error:
            return False


class Ground:
    """Files, a home, and databases that rounds begin with: `ingest` (empty) and `work` (images without codes).

    Both have a tiny encoder. Making it takes two undisturbed runs, whose times and codes are kept.

    Parameters
    ----------
    good, broken : how many files that are radiographs and that are none.
    """

    def __init__(self, folder: Path, good: int, broken: int, seed: int) -> None:
        self.home = folder / "home"
        self.files = folder / "files"
        self.good, self.broken = write_files(self.files, good, broken, seed)
        self.usual: dict[str, Usual] = {}
        self.url = shared_server.start(self.home)
        migrations.upgrade(self.url)
        with Database(self.url).connection() as connection:
            tiny.add_encoder(connection)
        self._keep_as("ready_ingest")
        self.usual["ingest"] = self._undisturbed("ingest")
        with self.connect() as connection:  # the worker takes longer than ingestion for each
            connection.execute("DELETE FROM radretrieval.image WHERE id %% %s <> 0", [WORK_SHARE])
        self._keep_as("ready_work")
        self.usual["work"] = self._undisturbed("work")
        self.codes = self.all_codes()
        if len(set(self.codes.values())) < len(self.codes) * 0.9:
            raise AssertionError("the files' codes are too much alike to tell a wrong one")

    def arguments(self, what: str) -> list[str]:
        """Of the command that is killed."""
        if what == "ingest":
            return ["ingest", str(self.files), "--json"]
        return ["work", "--once", "--device", "cpu", "--batch", str(BATCH), "--json"]

    def command(self, what: str) -> Command:
        """Started."""
        return Command(self.home, *self.arguments(what))

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection to the archive; in a `with`, committed and closed."""
        return psycopg.connect(self.url, connect_timeout=10, **options)

    def reset(self, what: str) -> None:
        """The archive as the command finds it first."""
        self._administer("DROP DATABASE radretrieval WITH (FORCE)")
        self._administer(f"CREATE DATABASE radretrieval TEMPLATE ready_{what}")

    def all_codes(self) -> dict[str, tuple[str, bytes]]:
        """Code and barcode by URI."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT uri, c.code::text, b.code FROM radretrieval.image i "
                "JOIN radretrieval.cnnc c ON c.image_id = i.id JOIN radretrieval.barcode b ON b.image_id = i.id"
            )
            return {uri: (code, bytes(barcode)) for uri, code, barcode in rows}

    def rows(self) -> set[Row] | None:
        """What is committed; None when the server does not answer."""
        try:
            with self.connect() as connection:
                return set(connection.execute(ROWS).fetchall())
        except psycopg.OperationalError:
            return None

    def attempts(self) -> dict[str, int]:
        """Of the files that failed, by URI."""
        with self.connect() as connection:
            return dict(connection.execute("SELECT uri, attempts FROM radretrieval.ingest_failure").fetchall())

    def share_left(self, what: str, rows: set[Row]) -> float:
        """Of the command's work, 0…1."""
        table, most = ("image", len(self.good)) if what == "ingest" else ("cnnc", len(self.codes))
        return 1 - sum(row[0] == table for row in rows) / most

    def server(self) -> list[psutil.Process]:
        """The server's processes, its postmaster first."""
        cluster = Cluster.find(self.home)
        found = processes.running(cluster.data) if cluster else []
        return sorted(found, key=_is_child)

    def _undisturbed(self, what: str) -> Usual:
        with self.command(what) as command:
            command.wait_for_work()
            begin = time.monotonic() - command.started
            code, out, errors = command.end()
            if code != DONE_BY_ITSELF[what]:
                raise AssertionError(f"{what}, undisturbed: exit code {code}\n{out}{errors}")
            return Usual(begin, time.monotonic() - command.started)

    def _keep_as(self, name: str) -> None:
        self._administer(f"CREATE DATABASE {name} TEMPLATE radretrieval")

    def _administer(self, statement: str) -> None:
        url = self.url.replace("@/radretrieval", "@/postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            deadline = time.monotonic() + GRACE
            while True:
                try:
                    connection.execute(statement)
                    return
                except psycopg.errors.ObjectInUse:  # a template whose last connection is still being closed
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)


def _is_child(process: psutil.Process) -> bool:
    """Whether a process of the server is another than its postmaster, which keeps its own command line."""
    try:
        return process.cmdline()[0].startswith("postgres: ")
    except (psutil.Error, IndexError):  # it has just ended
        return True


@contextlib.contextmanager
def prepared(good: int, broken: int, seed: int) -> Iterator[Ground]:
    """A ground in a folder that the server's unprivileged user may enter; all of it is gone afterwards."""
    roomy = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2**31
    folder = Path(tempfile.mkdtemp(prefix="rr-kill-", dir="/dev/shm" if roomy else None))
    folder.chmod(0o755)
    try:
        yield Ground(folder, good, broken, seed)
    finally:
        with contextlib.suppress(Exception):
            shared_server.stop(folder / "home", force=True)
        shared_server.release(folder / "home")
        shutil.rmtree(folder, ignore_errors=True)


def write_files(folder: Path, good: int, broken: int, seed: int) -> tuple[dict[str, bytes], set[str]]:
    """Radiographs with broken files among them: SHA-256 of the good by URI, URIs of the broken."""
    folder.mkdir()
    numbers = np.random.default_rng(seed)
    x = np.linspace(0, 1, SIDE)
    hashes, bad = {}, set()
    for number in range(good):
        path = folder / f"{number:05}.png"
        a, b, c, d = numbers.uniform(1, 12, 4)
        waves = np.sin(a * x + b)[:, None] * np.sin(c * x + d) + np.outer(x, 1 - x) * numbers.normal()
        noise = numbers.normal(0, 8, (SIDE, SIDE))
        Image.fromarray(np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)).save(path)
        hashes[to_uri(str(path))] = hashlib.sha256(path.read_bytes()).digest()
    whole = (folder / "00000.png").read_bytes()
    kinds = [b"", b"no radiograph\n", whole[: len(whole) // 2], bytes(range(256)) * 8]
    for number in range(broken):
        path = folder / f"{number * good // broken:05}-broken.png"
        path.write_bytes(kinds[number % len(kinds)])
        bad.add(to_uri(str(path)))
    return hashes, bad


def company(connection: psycopg.Connection[Any], seconds: float) -> list[str]:
    """What is left of dead commands after so many seconds: other connections, and locks on images."""
    faults = []
    deadline = time.monotonic() + seconds
    others: Sequence[Any] = [None]
    while others and time.monotonic() < deadline:
        others = connection.execute(
            "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
        connection.rollback()  # else the next look would see the same
        time.sleep(0.02)
    if others:
        faults.append(f"connections of dead commands: {others}")
    try:
        connection.execute("SELECT FROM radretrieval.image FOR UPDATE NOWAIT")
    except psycopg.errors.LockNotAvailable:
        faults.append("images are still locked")
    connection.rollback()
    return faults

"""Kills commands and servers at random moments and counts what that cost: shared by test_kill.py and `make soak`.

Everything happens in one home of the embedded server. A round begins with a fresh copy of a prepared database, runs
a command that is killed, some times over, then lets it end by itself and looks at every row. Rows are known by
their xmin as well: one that was lost and done again is not the one that was seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
import psycopg
import tiny
from PIL import Image

from radretrieval.archive import embedded, embedded_server, migrate
from radretrieval.archive.embedded_cluster import Cluster
from radretrieval.archive.engine import Archive
from radretrieval.uris import to_uri

COMMAND = Path(sys.executable).with_name("radretrieval")
SIDE = 40  # pixels; small files make many transactions a second
BATCH = 8  # images of one transaction of the worker
KILLS_OF_A_ROUND = 3
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
UNEVEN = """
SELECT count(*) FROM radretrieval.cnnc c FULL JOIN radretrieval.barcode b USING (image_id)
WHERE c.code IS NULL OR b.code IS NULL
"""

Row = tuple[str, str, str, str]


@dataclass
class Tally:
    """What the kills of one kind cost; all but the first three and `seconds` should be 0.

    Attributes
    ----------
    rounds, kills : how many; hits : kills that met a command between its first image and its last.
    unfinished : rounds whose last, undisturbed run did not do the rest.
    lost : rows seen before a kill that were gone or others afterwards, files and images left out in the end.
    double : files, images and codes that are there twice.
    faults : anything else, in words.
    """

    kind: str
    rounds: int = 0
    kills: int = 0
    hits: int = 0
    unfinished: int = 0
    lost: int = 0
    double: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether the kills cost nothing."""
        return not (self.unfinished or self.lost or self.double or self.faults)

    def expect(self, holds: bool, fault: str) -> None:
        """Note a fault where something does not hold."""
        if not holds:
            self.faults.append(f"{self.kind}, round {self.rounds}, kill {self.kills}: {fault}")


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
        self.url = embedded.start(self.home)
        migrate.upgrade(self.url)
        with Archive(self.url).connection() as connection:
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
        found = embedded_server.processes(cluster.data) if cluster else []
        return sorted(found, key=lambda process: process.name() != "postgres" or ": " in process.cmdline()[0])

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


@contextlib.contextmanager
def prepared(good: int, broken: int, seed: int) -> Iterator[Ground]:
    """A ground in a folder that the server's unprivileged user may enter; all of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rr-kill-"))
    folder.chmod(0o755)
    try:
        yield Ground(folder, good, broken, seed)
    finally:
        with contextlib.suppress(Exception):
            embedded.stop(folder / "home", force=True)
        embedded.release(folder / "home")
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


def kill_ingest(ground: Ground, kills: int, random: Random) -> Tally:
    """Kills of `ingest`."""
    return _rounds("ingest", "ingest", ground, kills, random, lambda tally: _kill(tally, ground, "ingest", random))


def kill_worker(ground: Ground, kills: int, random: Random) -> Tally:
    """Kills of the only `work --once`."""
    return _rounds("worker", "work", ground, kills, random, lambda tally: _kill(tally, ground, "work", random))


def kill_one_worker(ground: Ground, kills: int, random: Random) -> Tally:
    """Kills of one of two `work --once` that share an archive; the other goes on to its end."""

    def one(tally: Tally) -> None:
        with ground.command("work") as other:
            _kill(tally, ground, "work", random)
            code, _, errors = other.end()
            tally.expect(code == 0, f"the other worker ended with {code}: {errors}")

    return _rounds("one of two workers", "work", ground, kills, random, one)


def kill_server(ground: Ground, what: str, kills: int, random: Random) -> Tally:
    """Kills of the embedded server, of its postmaster, or of any other of its processes, under a command."""
    kind = f"server, {'ingest' if what == 'ingest' else 'worker'} on it"
    return _rounds(kind, what, ground, kills, random, lambda tally: _kill_server(tally, ground, what, random), own=True)


def _rounds(
    kind: str,
    what: str,
    ground: Ground,
    kills: int,
    random: Random,
    kill: Callable[[Tally], None],
    own: bool = False,
) -> Tally:
    """Rounds until there were enough kills; `own`: the command starts and stops the server."""
    tally = Tally(kind)
    started = time.monotonic()
    while tally.kills < kills:
        embedded.start(ground.home)
        ground.reset(what)
        tally.rounds += 1
        if own:
            embedded.release(ground.home)
        for _ in range(min(random.randint(1, KILLS_OF_A_ROUND), kills - tally.kills)):
            tally.kills += 1
            kill(tally)
        embedded.start(ground.home)
        before = ground.attempts()
        if own:
            embedded.release(ground.home)
        (_finish_ingest if what == "ingest" else _finish_work)(tally, ground)
        embedded.start(ground.home)
        _look(tally, ground, what, before)
    embedded.release(ground.home)
    tally.seconds = time.monotonic() - started
    return tally


def _moment(command: Command, usual: Usual, left: float, random: Random) -> None:
    """Wait for a random moment of a run: mostly while it works, sometimes since its start."""
    if random.random() < 0.8:
        command.wait_for_work()
        command.wait(random.uniform(0, (usual.end - usual.begin) * max(left, 0.1)))
    else:
        command.wait(random.uniform(0, usual.end))


def _kill(tally: Tally, ground: Ground, what: str, random: Random) -> None:
    """Start a command, kill it at a random moment, compare what was committed before and after."""
    before = ground.rows() or set()
    with ground.command(what) as command:
        _moment(command, ground.usual[what], ground.share_left(what, before), random)
        tally.hits += command.works()
        before |= ground.rows() or set()
        command.kill()
        _none_left(tally, command)
    _compare(tally, before, ground)


def _kill_server(tally: Tally, ground: Ground, what: str, random: Random) -> None:
    """Start a command, kill the server under it, see how the command ends."""
    victim = random.choice(("all", "postmaster", "one"))
    with ground.command(what) as command:
        _moment(command, ground.usual[what], 1.0, random)
        worked = command.works()
        before = ground.rows() or set()
        processes = ground.server()
        if victim != "all":
            processes = (
                processes[:1] if victim == "postmaster" else random.sample(processes[1:], min(1, len(processes)))
            )
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        code, _, errors = command.end()
        tally.hits += worked and code == 3
        told = f"the command ended with {code} after the kill of {victim}: {errors}"
        if code == 3:
            tally.expect(errors.startswith("error: ") and errors.count("\n") == 1, told)
        else:
            tally.expect(code == DONE_BY_ITSELF[what], told)
        _none_left(tally, command)
    embedded.start(ground.home)
    _compare(tally, before, ground)
    embedded.release(ground.home)


def _none_left(tally: Tally, command: Command) -> None:
    deadline = time.monotonic() + GRACE
    while (orphans := command.descendants()) and time.monotonic() < deadline:
        time.sleep(0.05)
    tally.expect(not orphans, f"processes outlived their command by {GRACE:.0f} s: {orphans}")


def _compare(tally: Tally, before: set[Row], ground: Ground) -> None:
    """What was committed is still there, and codes and barcodes come together."""
    after = ground.rows()
    tally.expect(after is not None, "the server does not answer")
    tally.lost += len(before - (after or set()))
    with ground.connect() as connection:
        row = connection.execute(UNEVEN).fetchone()
    tally.expect(row == (0,), f"{row} images have a code or a barcode, but not both")


def _finish_ingest(tally: Tally, ground: Ground) -> None:
    """The next run does the rest, and one more finds nothing to do."""
    good, broken = len(ground.good), len(ground.broken)
    for added in (None, 0):
        with ground.command("ingest") as command:
            code, out, errors = command.end()
        report = json.loads(out) if code == 1 else {}
        failed = {to_uri(failure["path"]) for failure in report.get("failures", [])}
        done = report.get("added", 0) + report.get("unchanged", 0), report.get("failed"), failed
        if done != (good, broken, ground.broken) or added not in (None, report["added"]):
            tally.unfinished += 1
            tally.expect(False, f"the next run ended with {code}: {out}{errors}")
            return


def _finish_work(tally: Tally, ground: Ground) -> None:
    """The next run does the rest."""
    with ground.command("work") as command:
        code, out, errors = command.end()
    if code != 0 or json.loads(out)["failed"]:
        tally.unfinished += 1
        tally.expect(False, f"the next run ended with {code}: {out}{errors}")


def _look(tally: Tally, ground: Ground, what: str, attempts: dict[str, int]) -> None:
    """At every row, when all is done; nobody else uses the archive any more."""
    with ground.connect() as connection:
        _alone(tally, connection)
        images = connection.execute("SELECT uri, sha256 FROM radretrieval.image").fetchall()
        failures = connection.execute(
            "SELECT uri, error, message, attempts FROM radretrieval.ingest_failure"
        ).fetchall()
        coded = connection.execute("SELECT image_id FROM radretrieval.cnnc").fetchall()
        barcoded = connection.execute("SELECT image_id FROM radretrieval.barcode").fetchall()
    files = [uri for uri, _ in images] + [uri for uri, *_ in failures]
    expected = {uri: ground.good[uri] for uri in (ground.good if what == "ingest" else ground.codes)}
    tally.lost += len((set(expected) | ground.broken) - set(files))
    tally.double += sum(len(values) - len(set(values)) for values in (files, coded, barcoded))
    tally.expect(dict(images) == expected, "images whose hash or file is wrong")
    tally.expect({uri for uri, *_ in failures} == ground.broken, "failures of other files than the broken")
    tally.expect(all(error and message for _, error, message, _ in failures), "failures without a reason")
    if what == "ingest":
        # two whole runs came after the kills, and each killed one has counted once at most
        wrong = [uri for uri, *_, count in failures if count != attempts.get(uri, 0) + 2]
        most = max(attempts.values(), default=0)
        tally.expect(not wrong and most <= KILLS_OF_A_ROUND, f"implausible attempts: {wrong[:3]}, {most}")
        return
    codes = ground.all_codes()
    tally.lost += len(ground.codes.keys() - codes.keys())
    wrong = [uri for uri, code in codes.items() if code != ground.codes.get(uri)]
    tally.expect(not wrong, f"{len(wrong)} codes or barcodes differ from the undisturbed ones: {wrong[:3]}")


def _alone(tally: Tally, connection: psycopg.Connection[Any]) -> None:
    """No other connection, no lock: each image can be locked at once."""
    deadline = time.monotonic() + GRACE
    others: Sequence[Any] = [None]
    while others and time.monotonic() < deadline:
        others = connection.execute(
            "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
        connection.rollback()  # else the next look would see the same
    tally.expect(not others, f"connections of dead commands: {others}")
    try:
        connection.execute("SELECT FROM radretrieval.image FOR UPDATE NOWAIT")
    except psycopg.errors.LockNotAvailable:
        tally.expect(False, "images are still locked")
    connection.rollback()

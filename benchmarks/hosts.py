"""Four workers on two hosts with one database and one store: who codes what, and what a host without the store does.

    python benchmarks/hosts.py [--films 120]

The hosts are network namespaces, which share no address; as root, with `ip`. The database is reached by its socket, the
store at another path on each host, as two mounts of one shared folder. The films are in the store alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from _common import command, database, environment, machine, skip, table
from worker import CODES, add_encoder, dicom_film

from radretrieval.archive.connections import Database
from radretrieval.config import Settings

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from orthanc import Space


def main() -> None:
    """Run the workers, print who did what; ends with 1 where an image has no code, or more than one worker's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=120)
    films = parser.parse_args().films
    hosts = [Space(), Space(), Space()]
    try:
        for host in hosts:
            add = subprocess.run(["ip", "netns", "add", host.name], capture_output=True, text=True, check=False)
            if add.returncode:
                skip(f"network namespaces need root and ip: {add.stderr.strip()}")
        with database() as (where, settings):
            measure(where, settings, hosts, films)
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)


def measure(where: Database, settings: Settings, hosts: list[Space], films: int) -> None:
    """Fill the archive, let two workers on each of two hosts run, and one on a host without the store."""
    fill(settings, films)
    add_encoder(where, 0)
    stores = []
    for number in range(2):  # the same folder, mounted elsewhere
        stores.append(settings.home / f"host-{number}")
        stores[-1].symlink_to(settings.store_folder)
    running = [
        (f"host {number + 1}, worker {worker + 1}", work(settings, hosts[number], stores[number]))
        for number in range(2)
        for worker in range(2)
    ]
    running.append(("a host without the store", work(settings, hosts[2], settings.home / "not-mounted")))
    rows, encoded = [], 0
    for name, process in running:
        out, errors = process.communicate(timeout=600)
        done: dict[str, Any] = json.loads(out) if process.returncode == 0 else {}
        encoded += done.get("encoded", 0)
        told = errors.strip().splitlines()[-1].partition(";")[0] if process.returncode else ""
        rows.append(
            [
                name,
                str(process.returncode),
                str(done.get("encoded", 0)),
                str(done.get("failed", 0)),
                told.replace(f"{settings.home}/", ""),
            ]
        )
    with where.connection() as connection:
        statement = "SELECT (SELECT count(*) FROM cnnc) AS codes, (SELECT count(*) FROM coding_failure) AS failures"
        found = connection.execute(statement).fetchone()
    print(machine("torch", "psycopg"))
    table(["worker", "exit code", "coded", "failed", ""], rows)
    print(f"{films} films; {found['codes']} codes by {encoded} encodings, {found['failures']} failures")
    if not films == found["codes"] == encoded or found["failures"]:
        raise SystemExit("an image has no code, was coded twice, or failed")


def fill(settings: Settings, films: int) -> None:
    """Films that are in the store and nowhere else."""
    folder = settings.home / "films"
    folder.mkdir(parents=True)
    for number in range(films):
        dicom_film(number, CODES[number % len(CODES)], size=800).save_as(
            folder / f"{number}.dcm", enforce_file_format=True
        )
    kept = environment(settings) | {"RADRETRIEVAL_KEEP": "copy"}
    subprocess.run(command("ingest", str(folder)), env=kept, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)


def work(settings: Settings, host: Space, store: Path) -> subprocess.Popen[str]:
    """A worker on a host."""
    words = host.command(*command("work", "--once", "--device", "cpu", "--batch", "8", "--json"))
    given = environment(settings) | {"RADRETRIEVAL_STORE": str(store)}
    return subprocess.Popen(words, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main()

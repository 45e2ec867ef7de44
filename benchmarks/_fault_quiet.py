"""Faults of an archive that nobody else uses: damaged rows and files, memory, clocks, a source that resets."""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import psycopg
from _fault_site import TESTS, Site
from fuzz_dicom import SHARED, damaged
from PIL import Image

from radretrieval.archive import migrations
from radretrieval.archive.embedded import account, shared_server

MUTATED = 10_000
LARGEST = 100_000  # bytes of a file that is mutated
LIBFAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")  # Debian: apt-get install faketime
DAY = 86400


def weights_damaged(site: Site) -> str:
    """One bit of the weights of the active encoder differs, and no cache has them."""
    film = site.folder / "unknown.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 255, (40, 40), np.uint8)).save(film)
    flip = "UPDATE encoder SET weights = set_bit(weights, 5000, 1 - get_bit(weights, 5000)) WHERE active"
    for cached in (site.home / "weights").iterdir():
        cached.unlink()
    site.change(flip)
    try:
        refused = site.run("search", str(film), expect=3).stderr.strip()
        expect("damaged" in refused, refused)
        site.run("search", "id:1")
    finally:
        site.change(flip)
    site.run("search", str(film))
    return f"searches of new films end with 3 ({refused[:60]}…), those by id go on"


def code_row_damaged(site: Site) -> str:
    """One bit of a code differs, past the triggers: in its own table, then in the index."""
    said = []
    for table in ("cnnc", "exact"):
        (live,) = site.rows("SELECT id FROM exact_index WHERE live")[0]
        name = "cnnc_1" if table == "cnnc" else f"exact_{live}"
        flip = f"UPDATE {name} SET code = set_bit(code, 7, 1 - get_bit(code, 7)) WHERE image_id = 17"
        off = f"ALTER TABLE {name} DISABLE TRIGGER USER"
        site.change(off, flip)
        found = site.run("index", "check", expect=1)
        said.append(f"{name}: {' '.join((found.stdout + found.stderr).split())[-150:]}")
        site.change(flip)
        site.run("db", "upgrade")  # the triggers, as they were
        site.run("index", "build")
    site.run("index", "check")
    return f"index check ends with 1: {'; '.join(said)}"


def pages_damaged(site: Site) -> str:
    """Bytes on the disk differ, in the table of codes and in an index of it: checksums and amcheck see it."""
    paths = [site.rows("SELECT pg_relation_filepath(%s::regclass)", name)[0][0] for name in ("cnnc_1", "cnnc_1_pkey")]
    said = []
    for path in paths:
        shared_server.stop(site.home, force=True)
        file = site.data / path
        sound = file.read_bytes()
        with file.open("r+b") as one:
            one.seek(len(sound) - 3000)
            one.write(os.urandom(64))
        shared_server.start(site.home)
        with site.connect(autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public")
            try:
                connection.execute("SELECT public.bt_index_check('cnnc_1_pkey', true)")
                amcheck = "nothing"
            except psycopg.Error as error:
                amcheck = str(error).splitlines()[0]
        searched = site.run("search", "id:17", expect=None)
        checked = site.run("index", "check", expect=None)
        expect(amcheck != "nothing", f"amcheck finds nothing in {path}")
        expect("Traceback" not in checked.stderr + searched.stderr, checked.stderr + searched.stderr)
        told = f"search ends with {searched.returncode}, index check with {checked.returncode}"
        said.append(f"{told} ({' '.join(checked.stderr.split())[:90]}), amcheck: {amcheck[:60]}")
        shared_server.stop(site.home, force=True)
        file.write_bytes(sound)
        shared_server.start(site.home)
    site.run("index", "check")
    return f"table: {said[0]}; index: {said[1]}"


def decoder_without_memory(site: Site) -> str:
    """A film that needs more memory than a decoding process may take."""
    folder = site.folder / "large"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (9000, 9000), np.uint8)).save(folder / "large.png")
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (50, 50), np.uint8)).save(folder / "small.png")
    little = {"env": site.environment() | {"RADRETRIEVAL_DECODE_MEGABYTES": "350"}}
    done = json.loads(site.run("ingest", str(folder), "--json", expect=1, **little).stdout)
    expect((done["added"], done["failed"]) == (1, 1), str(done))
    again = json.loads(site.run("ingest", str(folder), "--json").stdout)
    expect((again["added"], again["unchanged"], again["failed"]) == (1, 1, 0), str(again))
    return f"the film fails ({done['failures'][0]['message'][:80]}), the other is taken; with more memory both are"


def files_mutated(site: Site) -> str:
    """10,000 damaged image and DICOM files, half of each, in a folder that is ingested."""
    expect(SHARED.exists(), "../shared/data/dicom is absent")
    folder, random = site.folder / "mutated", np.random.default_rng(3)
    folder.mkdir()
    dicom = [path.read_bytes() for path in SHARED.glob("*/*.dcm") if path.stat().st_size < LARGEST]
    drawn = Image.fromarray(np.random.default_rng(4).integers(0, 255, (60, 50), np.uint8))
    kinds = ("png", "jpg", "tif")
    for kind in kinds:
        drawn.save(site.folder / f"whole.{kind}")
    images = [(site.folder / f"whole.{kind}").read_bytes() for kind in kinds]
    for number in range(MUTATED):
        sources, ends = (dicom, ("dcm",)) if number % 2 else (images, kinds)
        place = int(random.integers(len(sources)))
        (folder / f"{number:05}.{ends[place % len(ends)]}").write_bytes(damaged(sources[place], random))
    with site.connect(autocommit=True) as connection:
        connection.execute("CREATE DATABASE mutated")
    url = site.url.replace("@/radretrieval", "@/mutated")
    migrations.upgrade(url)
    env = {"env": site.environment() | {"RADRETRIEVAL_DATABASE_URL": url}, "timeout": 1500}
    done = site.run("ingest", str(folder), "--json", expect=1, **env)
    report = json.loads(done.stdout)
    total = sum(report[name] for name in ("added", "unchanged", "updated", "failed"))
    expect(total == MUTATED, f"{total} of {MUTATED} files have an outcome")
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE message <> '' AND error <> '') FROM radretrieval.ingest_failure"
        ).fetchone()
    expect(row is not None and row[0] == row[1] == report["failed"], f"{row} failures, {report['failed']} told")
    with site.connect(autocommit=True) as connection:
        connection.execute("DROP DATABASE mutated WITH (FORCE)")
    return f"{report['failed']} failed with a reason, {total - report['failed']} were read; ingest ends with 1"


def source_stalls_and_resets(site: Site) -> str:
    """A DICOMweb source behind a network that stalls, resets and half-closes in mid-stream, under `pull`."""
    sys.path.insert(0, str(TESTS))
    from orthanc import film, uid_of
    from proxy import Proxy
    from small_web import SmallWeb, serving

    films = [film(number, study=number // 4, side=300) for number in range(120)]
    studies: dict[str, dict[str, bytes]] = {}
    for number, data in enumerate(films):
        studies.setdefault(f"1.2.826.0.1.3680043.10.99.1.{number // 4}", {})[uid_of(data)] = data
    socketserver.BaseServer.handle_error = lambda *_: None  # type: ignore[method-assign]  # no traceback for each
    with serving(SmallWeb(studies)) as web:
        proxy = Proxy(int(web.root.rpartition(":")[2].split("/")[0]))
        root = web.root.replace(web.root.rpartition(":")[2].split("/")[0], str(proxy.port))
        ended, random = threading.Event(), Random(5)

        def disturb() -> None:
            while not ended.wait(random.uniform(0.1, 0.6)):
                match random.randrange(3):
                    case 0:
                        proxy.reset()
                    case 1:
                        proxy.half_close()
                    case 2:
                        proxy.stalled = True
                        ended.wait(random.uniform(0, 4))
                        proxy.stalled = False

        thread = threading.Thread(target=disturb)
        thread.start()
        codes = []
        until = time.monotonic() + 60
        while time.monotonic() < until and 0 not in codes:
            done = site.run("pull", root, "--json", "--workers", "1", expect=None)
            expect(done.returncode in (0, 1, 3) and "Traceback" not in done.stderr, done.stderr)
            codes.append(done.returncode)
        ended.set()
        thread.join()
        site.run("pull", root, "--json", "--workers", "1")
        proxy.close()
    there = {uid for (uid,) in site.rows("SELECT sop_instance_uid FROM image WHERE sop_instance_uid IS NOT NULL")}
    missing = [uid for found in studies.values() for uid in found if uid not in there]
    expect(not missing, f"{len(missing)} of {len(films)} are missing after an undisturbed pull")
    return f"pulls under it ended with {codes}, then one undisturbed with 0: all {len(films)} files are there, once"


def clocks_jump(site: Site) -> str:
    """The database's clock jumps (libfaketime): 40 days ahead, back, two days back; this host's an hour ahead."""
    if not LIBFAKETIME.exists():
        return "left out: libfaketime is not installed"
    site.run("work", "--once", "--device", "cpu", expect=None, timeout=3600)
    uncoded = _pending(site)  # by earlier faults: mutated files are gone
    moment = site.folder / "moment"
    moment.write_text("+0d\n")
    fake = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME_TIMESTAMP_FILE": str(moment), "FAKETIME_NO_CACHE": "1"}
    fake |= {"DONT_FAKE_MONOTONIC": "1"}
    shared_server.stop(site.home, force=True)
    account.ENVIRONMENT.update(fake)
    said = []
    try:
        shared_server.start(site.home)
        worker = site.service("jumped", "work", "--device", "cpu", "--workers", "1")
        _alive(site)
        for jump in ("+40d", "+0d", "-2d", "+0d"):
            moment.write_text(f"{jump}\n")
            site.run("search", "id:3")
            (now,), (at,) = (
                site.rows("SELECT now()::date::text")[0],
                site.rows("SELECT max(at)::date::text FROM audit")[0],
            )
            site.new_film(900_000 + len(said))
            site.run("ingest", str(site.films), expect=1)
            _coded(site, uncoded)
            _alive(site)
            clock = site.run("health", "--only", "clock", expect=None).returncode
            expect(clock == (0 if jump == "+0d" else 1), f"health --only clock ends with {clock} at {jump}")
            site.run("audit", "verify")
            said.append(f"{jump}: server {now}, last audit row {at}")
        expect(worker.end() == 0, worker.log.read_text())
    finally:
        for name in fake:
            account.ENVIRONMENT.pop(name, None)
        shared_server.stop(site.home, force=True)
        shared_server.start(site.home)
    ahead = site.environment() | {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME": "+1h", "DONT_FAKE_MONOTONIC": "1"}
    done = site.run("health", "--only", "clock", expect=1, env=ahead)
    told = " ".join(done.stdout.split())[:120]
    return f"{'; '.join(said)}; coded, alive, audit verify 0 throughout; host an hour ahead: {told}"


def _alive(site: Site) -> None:
    """The worker is found alive within two minutes: its imports take their time."""
    until = time.monotonic() + 120
    while site.run("health", "--only", "services", "--expect", "work", expect=None).returncode:
        expect(time.monotonic() < until, "health does not find the worker alive")
        time.sleep(0.5)


def _pending(site: Site) -> set[int]:
    return {int(row[0]) for row in site.rows("SELECT image_id FROM pending")}


def _coded(site: Site, but: set[int]) -> None:
    """Every image, but these, has its code within five minutes: the machine may be busy."""
    until = time.monotonic() + 300
    while left := _pending(site) - but:
        expect(time.monotonic() < until, f"images have no code: {sorted(left)[:10]}")
        time.sleep(0.5)


def expect(holds: object, what: str) -> None:
    """Raise AssertionError where something does not hold."""
    if not holds:
        raise AssertionError(what[:1500])


QUIET: dict[str, Callable[[Site], str]] = {
    "weights damaged": weights_damaged,
    "code row damaged": code_row_damaged,
    "pages damaged": pages_damaged,
    "decoder without memory": decoder_without_memory,
    "files mutated": files_mutated,
    "source stalls and resets": source_stalls_and_resets,
    "clocks jump": clocks_jump,
}

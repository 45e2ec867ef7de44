"""Whether an archive does its work: checks that each name what is wrong and what to do, for monitors and for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from radretrieval.archive import audit, codes, connections, encoders, heartbeats, images, locks, opening, operation
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.patient_keys import recorded
from radretrieval.archive.readers import states
from radretrieval.archive.schema import objects
from radretrieval.archive.search import exact_index, nearest, stored
from radretrieval.coding.radon import geometry
from radretrieval.config import Settings
from radretrieval.errors import (
    DatabaseUnavailable,
    EnvironmentUnusable,
    NoEncoder,
    SchemaOutdated,
    StoreUnavailable,
    UsageError,
    WrongPatientKey,
)
from radretrieval.ingest.store_check import check_store
from radretrieval.privacy.archive_key import archive_key
from radretrieval.storage.content_store import ContentStore
from radretrieval.storage.store_size import Room, room

GIB = 2**30
SCARCE = (0.05, 50 * GIB)  # a disk with less free than either is nearly full …
FULL = (0.01, 5 * GIB)  # … and with less than these as good as full
SKEW_SECONDS = (5.0, 60.0)  # between the clocks of this host and of the database: worth a word, and wrong


class Level(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : as in `NAMES`; of `disks` and `waiting`, which look at two things each: `disk_store`, `waiting_files`, ….
    text : what was seen. count : of images, files, services or MiB, where there is one.
    repair : what to do, a command where one does it; None where nothing has to be done.
    """

    name: str
    level: Level
    text: str
    repair: str | None = None
    count: int = 1


@dataclass(frozen=True)
class HealthOptions:
    """What is expected of an archive.

    waiting : an image without a code, or a file that came, must not be older.
    expect : services that have to run, as `work` or `work@host`; none for each that has not ended in order.
    only : names of checks; none for all.
    """

    waiting: timedelta = timedelta(minutes=15)
    expect: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in NAMES:
                raise UsageError(f"--only {name}: there is no such check; there are {', '.join(NAMES)}")


@dataclass(frozen=True)
class Health:
    """What the checks found, in the order of `NAMES`."""

    checks: Sequence[Check]
    usable: bool = True

    @classmethod
    def of(cls, database: Database, settings: Settings, options: HealthOptions) -> Health:
        """Make the checks; where the database, or its schema, cannot be used, that is the last one."""
        found: list[Check] = []
        try:
            for name in options.only or NAMES:
                found += _made(name, database, settings, options)
        except EnvironmentUnusable as error:
            return cls.without_database(error, found)
        return cls(found)

    @classmethod
    def without_database(cls, error: EnvironmentUnusable, before: Sequence[Check] = ()) -> Health:
        """The health of an archive whose database cannot be used."""
        return cls([*before, Check("database", Level.FAILURE, str(error))], usable=False)

    @property
    def level(self) -> Level:
        """The worst that was found."""
        return max((one.level for one in self.checks), key=list(Level).index, default=Level.OK)

    @property
    def exit_code(self) -> int:
        """Of `radretrieval health`: 0, 1 where a check failed, 3 where the database cannot be used."""
        return 3 if not self.usable else 1 if self.level is Level.FAILURE else 0

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"level": self.level, "checks": [asdict(one) for one in self.checks]}


def _made(name: str, database: Database, settings: Settings, options: HealthOptions) -> list[Check]:
    """What a check finds, in a transaction of its own: a role that may not see all makes the others."""
    try:
        with database.connection() as connection:
            locks.limit_waits(connection, locks.SECONDS)
            return list(_CHECKS[name](connection, database, settings, options))
    except (DatabaseUnavailable, SchemaOutdated):
        raise
    except EnvironmentUnusable as error:
        return [Check(name, Level.WARNING, str(error), "make this check as a role that may see it")]


def _database(connection: Connection, database: Database, *_: object) -> Iterator[Check]:
    connection.rollback()  # a pooler may have no second connection for what follows while a transaction keeps this one
    if database.direct is not None:
        connections.require_session(database)
    objects.check(database)
    facts = opening.check(database)
    seen = f"PostgreSQL {facts['server_version']}, pgvector {facts['pgvector_version']}, revision {facts['revision']}"
    seen += ", a standby: nothing can be written to it" if facts["standby"] else ""
    yield Check("database", Level.WARNING if facts["pgvector_update"] else Level.OK, seen, facts["pgvector_update"])


def _locks(connection: Connection, *_: object) -> Iterator[Check]:
    waits = locks.waits(connection)
    if waits is not None:
        yield Check("locks", Level.FAILURE, waits.text, waits.repair, waits.sessions)
    elif blocking := audit.holders(connection):
        text = f"nobody can search or write: {locks.shown(connection, blocking)} has the lock of the audit"
        repair = f"end its transaction, or have the DBA do it: SELECT pg_terminate_backend({blocking[0]});"
        yield Check("locks", Level.FAILURE, text, repair, len(blocking))
    else:
        yield Check("locks", Level.OK, f"no writer has waited for more than {locks.SECONDS:.0f} s")


def _disks(connection: Connection, database: Database, settings: Settings, _: object) -> Iterator[Check]:
    if database.embedded:
        yield disk("disk_database", "the database", room(settings.home))
    else:
        yield Check("disk_database", Level.OK, "the disk of your own database's server is not seen from here")
    try:
        check_store(connection, ContentStore(settings.store_folder))
    except StoreUnavailable as error:
        yield Check("disk_store", Level.FAILURE, str(error), "mount the store")
    else:
        yield disk("disk_store", f"the store {settings.store_folder}", room(settings.store_folder))


def disk(name: str, of: str, seen: Room | None) -> Check:
    """The check of the disk of something, as of `the store`."""
    if seen is None:
        return Check(name, Level.WARNING, f"the disk of {of} cannot be looked at", "check that it is mounted")
    free, full = seen.free // 2**20, seen.free < min(FULL[0] * seen.total, FULL[1])
    text = f"{seen.free / GIB:.1f} GiB of {seen.total / GIB:.1f} are free on the disk of {of}"
    if not full and seen.free >= min(SCARCE[0] * seen.total, SCARCE[1]):
        return Check(name, Level.OK, text, count=free)
    level = Level.FAILURE if full else Level.WARNING
    return Check(name, level, text, "radretrieval verify --tidy", free)


def _waiting(connection: Connection, database: Database, settings: Settings, options: HealthOptions) -> Iterator[Check]:
    since, encoder, counts = codes.now(connection) - options.waiting, _active(connection), images.counts(connection)
    if encoder is None and counts["images"]:
        text = f"there is no encoder: none of {counts['images']} images can be found"
        yield Check("waiting_images", Level.WARNING, text, "radretrieval train", counts["images"])
    elif encoder is not None:
        count = counts["images"] - counts["hidden"] - counts["coded"]
        oldest = operation.oldest_pending(connection, encoder.id)
        working = any(beat.alive for beat in heartbeats.beats(connection) if beat.program == "work")
        who = "" if working else "; no worker is alive"
        yield _overdue("waiting_images", "images without a code", count, oldest, since, "radretrieval work", who)
    arrivals = operation.arrivals(connection)
    oldest = min((row["oldest"] for row in arrivals), default=None)
    files = sum(row["files"] for row in arrivals)
    yield _overdue("waiting_files", "files that came and are no images", files, oldest, since, "radretrieval receive")


def _active(connection: Connection) -> Encoder | None:
    try:
        return encoders.get(connection)
    except NoEncoder:
        return None


def _overdue(
    name: str, what: str, count: int, oldest: datetime | None, since: datetime, repair: str, who: str = ""
) -> Check:
    """The check of a queue: a failure where its oldest entry was there before a moment."""
    if oldest is None:
        return Check(name, Level.OK, f"{what}: none", count=0)
    text = f"{what}: {count}, the first waits since {oldest.astimezone():%Y-%m-%d %H:%M:%S}{who}"
    if oldest >= since:
        return Check(name, Level.OK, text, count=count)
    return Check(name, Level.FAILURE, text, repair, count)


def _services(
    connection: Connection, database: Database, settings: Settings, options: HealthOptions
) -> Iterator[Check]:
    beats = heartbeats.beats(connection)
    for beat in beats if not options.expect else ():
        if not beat.alive and not beat.replaced:
            last = f"{beat.beat_at.astimezone():%Y-%m-%d %H:%M:%S}"
            text = f"{beat.program} on {beat.host} (process {beat.pid}) was last heard of at {last}"
            yield Check("services", Level.FAILURE, text, f"radretrieval {beat.program}")
    alive = [beat for beat in beats if beat.alive]
    for wanted in options.expect:
        program, at, host = wanted.partition("@")
        if not any(beat.program == program and (not at or beat.host == host) for beat in alive):
            yield Check("services", Level.FAILURE, f"no {wanted} is alive", f"radretrieval {program}")
    told = ", ".join(f"{beat.program} on {beat.host}" for beat in alive)
    yield Check("services", Level.OK, f"alive: {told or 'none'}", count=len(alive))


def _query(connection: Connection, *_: object) -> Iterator[Check]:
    """The newest image that has a code is searched by it: it must be among the nearest, at distance 0."""
    encoder = _active(connection)
    if encoder is None:
        return
    newest = codes.newest(connection, encoder.id)
    known = codes.known_geometry(connection, *geometry(encoder.profile.barcode))
    if newest is None or known is None:
        yield Check("query", Level.OK, "no image has a code yet", count=0)
        return
    started = time.perf_counter()
    found, path = _nearest(connection, encoder, known, newest)
    took = f"{1000 * (time.perf_counter() - started):.0f} ms ({path})"
    if found:
        yield Check("query", Level.OK, f"image {newest} finds itself in {took}")
    elif path == "hnsw":  # approximate: it may miss one
        repair = "radretrieval index audit measures it; radretrieval index build makes an exact one"
        yield Check("query", Level.WARNING, f"the HNSW index does not find image {newest} by its own code", repair)
    else:
        repair = "radretrieval index check, then radretrieval index build"
        yield Check("query", Level.FAILURE, f"a search for image {newest} by its own code misses it: {took}", repair)


def _nearest(connection: Connection, encoder: Encoder, known: int, image: int) -> tuple[bool, str]:
    """Whether a search by the code of an image finds it at distance 0, and how it searched."""
    query = stored.by_ids(connection, encoder.id, known, [image]).get(image)
    if query is None or query.cnnc is None:
        return False, "no code"
    found, path = nearest.candidates(connection, encoder, known, query.cnnc, encoder.profile.query.candidates)
    return any(one.image_id == image and one.cnnc_distance == 0 for one in found), path


def _index(connection: Connection, *_: object) -> Iterator[Check]:
    encoder = _active(connection)
    if encoder is None:
        return
    facts = exact_index.facts(connection, encoder, codes.count(connection, encoder.id))
    if facts["advice"] is not None:
        yield Check("index", Level.WARNING, facts["advice"], "radretrieval index build")
    elif facts["unfinished"]:
        text = "an index is being built, or was begun and not finished"
        yield Check("index", Level.WARNING, text, "radretrieval index build", facts["unfinished"])
    else:
        yield Check("index", Level.OK, f"index of codes: {facts['kind']}")


def _readers(connection: Connection, database: Database, *_: object) -> Iterator[Check]:
    found = states(database, connection)
    wrong = Level.WARNING if any(one.standby and one.problem is None for one in found) else Level.FAILURE
    yield from (Check("readers", wrong if one.problem else Level.OK, one.words, one.repair) for one in found)
    if not found:
        yield Check("readers", Level.OK, "searches are read from the primary", count=0)


def _key(connection: Connection, database: Database, settings: Settings, _: object) -> Iterator[Check]:
    if recorded(connection) is None:
        yield Check("key", Level.OK, "the archive has no patients yet")
        return
    try:
        key = archive_key(connection, settings)
    except WrongPatientKey as error:
        yield Check("key", Level.FAILURE, str(error), "copy the key file from a host that ingests")
    except EnvironmentUnusable as error:
        yield Check("key", Level.FAILURE, str(error), "see docs/operations.md, The patient key")
    else:
        yield Check("key", Level.OK, f"the key of the patients is there: {key.path}")


def _clock(connection: Connection, *_: object) -> Iterator[Check]:
    before = time.time()
    there = codes.now(connection).timestamp()
    skew = (before + time.time()) / 2 - there
    text = f"the clock of this host is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database's"
    if abs(skew) < SKEW_SECONDS[0]:
        yield Check("clock", Level.OK, text)
    else:
        level = Level.FAILURE if abs(skew) >= SKEW_SECONDS[1] else Level.WARNING
        yield Check("clock", level, text, "set both by NTP (timedatectl set-ntp true)", round(abs(skew)))


_CHECKS: dict[str, Callable[[Connection, Database, Settings, HealthOptions], Iterator[Check]]] = {
    "locks": _locks,  # first: what it finds says why others cannot be made
    "database": _database,
    "disks": _disks,
    "waiting": _waiting,
    "services": _services,
    "query": _query,
    "index": _index,
    "readers": _readers,
    "key": _key,
    "clock": _clock,
}
NAMES = tuple(_CHECKS)

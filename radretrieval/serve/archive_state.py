"""The state of the archive for the page of IT: one document, computed at most once in some seconds."""

from __future__ import annotations

import platform
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel

from radretrieval import __version__
from radretrieval.archive import encoders, opening, operation
from radretrieval.archive.connections import Connection
from radretrieval.archive.search import exact_index
from radretrieval.jobs.health import NAMES, Check, Health, HealthOptions, Level
from radretrieval.report.advice import advice
from radretrieval.serve.cached_value import CachedValue
from radretrieval.serve.service import Service
from radretrieval.storage.store_size import Room, room, store_size

FRESH_SECONDS = 5.0  # so often the database is asked, however many pages are open
STORE_SECONDS = 600.0
CHECKS = tuple(name for name in NAMES if name not in ("database", "index"))  # which are looked at here anyway


class Finding(BaseModel):
    """What is wrong: a word for programs, how many it concerns, in words, and what mends it."""

    kind: str
    count: int
    text: str
    command: str | None


class Images(BaseModel):
    """How many images there are, and how many of them …; `oldest_pending` is since when the first one waits.

    hidden : withdrawn from searches; they are not pending.
    """

    total: int
    hidden: int
    coded: int
    pending: int
    last_day: int
    gone: int
    same_uid: int
    flat: int
    oldest_pending: datetime | None


class Origin(BaseModel):
    """What came from a peer (None: files that were found): images, files that wait, files that failed."""

    origin: str | None
    images: int
    gone: int
    last_day: int
    last_at: datetime | None
    waiting: int
    oldest_waiting: datetime | None
    failed: int


class Pull(BaseModel):
    """How far the pulls of one query from one peer have come."""

    url: str
    query: str
    study_date: date | None
    change: int | None
    pulled_at: datetime
    reconciled_at: datetime | None


class FailureGroup(BaseModel):
    """Failures of one kind; `reason` has nothing of the file. Stage is `ingest` of files, `code` of images."""

    stage: str
    error: str
    reason: str
    origin: str | None
    files: int
    attempts: int
    last_at: datetime


class Program(BaseModel):
    """Sessions of the database of one program on one host (None: a socket of the server's own)."""

    program: str
    host: str | None
    sessions: int
    active: int
    since: datetime | None
    oldest_transaction: datetime | None


class EncoderState(BaseModel):
    """An encoder: how many images it has coded, and the index of its codes (`exact`, `hnsw` or `none`)."""

    encoder_id: int
    profile: str
    active: bool
    codes: int
    share: float
    created_at: datetime
    index: str
    index_built_of: int | None
    index_live_at: datetime | None
    recall: float | None
    recall_worst: float | None


class Disk(BaseModel):
    """Bytes; None for what is not seen from here (the disk of a server of the site's own) or not measured yet."""

    database: int
    database_free: int | None
    database_disk: int | None
    store: int | None = None
    store_files: int | None = None
    store_exact: bool = True
    store_free: int | None
    store_disk: int | None


class Versions(BaseModel):
    """What runs."""

    radretrieval: str
    python: str
    postgresql: str
    pgvector: str
    revision: str
    standby: bool
    pooler: bool


class State(BaseModel):
    """The state of an archive."""

    as_of: datetime
    findings: list[Finding]
    images: Images
    inbox: int
    oldest_arrival: datetime | None
    failed: int
    origins: list[Origin]
    pulls: list[Pull]
    failures: list[FailureGroup]
    programs: list[Program]
    encoders: list[EncoderState]
    disk: Disk
    versions: Versions


class ArchiveState:
    """The state of a served archive, for any number of pages that ask again and again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._recent = CachedValue(self._read, FRESH_SECONDS)
        self._store = CachedValue(lambda: store_size(service.settings.store_folder), STORE_SECONDS)

    def get(self) -> State:
        """The state, some seconds old at most."""
        state, store = self._recent.get(), self._store.latest()
        if store is None:  # a thread measures it
            return state
        measured = {"store": store.bytes, "store_files": store.files, "store_exact": store.exact}
        return state.model_copy(update={"disk": state.disk.model_copy(update=measured)})

    def _read(self) -> State:
        database, settings = self._service.database, self._service.settings
        facts = opening.check(database)
        with database.connection() as connection:
            size = operation.database_bytes(connection)
            found = _found(connection)
        disk = _disk(size, room(settings.home) if database.embedded else None, room(settings.store_folder))
        health = Health.of(database, settings, HealthOptions(only=CHECKS))
        findings = [Finding(**asdict(one)) for one in advice(_status(found))]
        findings += [_of_health(check) for check in health.checks if check.level is not Level.OK]
        return State(
            as_of=datetime.now(UTC),
            findings=findings,
            disk=disk,
            versions=Versions(
                radretrieval=__version__,
                python=platform.python_version(),
                postgresql=facts["server_version"],
                pgvector=facts["pgvector_version"],
                revision=facts["revision"],
                standby=facts["standby"],
                pooler=facts["pooler"],
            ),
            **{name: value for name, value in found.items() if name != "index"},
        )


def _found(connection: Connection) -> dict[str, Any]:
    """What the database knows."""
    origins, arrivals = operation.origins(connection), operation.arrivals(connection)
    total, hidden = (sum(row[name] for row in origins) for name in ("images", "hidden"))
    all_encoders = [_encoder(connection, row, total - hidden) for row in encoders.listed(connection)]
    active = next((one for one, _ in all_encoders if one.active), None)
    failures = operation.failure_groups(connection)
    coded = 0 if active is None else active.codes
    oldest = operation.oldest_pending(connection, active.encoder_id) if active else None
    return {
        "images": Images(
            total=total,
            hidden=hidden,
            coded=coded,
            pending=total - hidden - coded,
            oldest_pending=oldest,
            **{name: sum(row[name] for row in origins) for name in ("last_day", "gone", "same_uid", "flat")},
        ),
        "inbox": sum(row["files"] for row in arrivals),
        "oldest_arrival": min((row["oldest"] for row in arrivals), default=None),
        "failed": sum(row["files"] for row in failures),
        "origins": _origins(origins, arrivals, failures),
        "pulls": [Pull(**row | {"query": _without_values(row["query"])}) for row in operation.pulls(connection)],
        "failures": [FailureGroup(**row) for row in failures],
        "programs": [Program(**row) for row in operation.programs(connection)],
        "encoders": [one for one, _ in all_encoders],
        "index": next((index for one, index in all_encoders if one.active), None),
    }


def _encoder(connection: Connection, row: dict[str, Any], images: int) -> tuple[EncoderState, dict[str, Any]]:
    index = exact_index.facts(connection, encoders.get(connection, row["encoder_id"]), row["codes"])
    state = EncoderState(
        **row,
        share=row["codes"] / max(images, 1),
        index=index["kind"],
        index_built_of=index["built_of"],
        index_live_at=index["live_at"],
        recall=index["recall"],
        recall_worst=index["recall_worst"],
    )
    return state, index


def _origins(images: operation.Rows, arrivals: operation.Rows, failures: operation.Rows) -> list[Origin]:
    waiting = {row["origin"]: row for row in arrivals}
    failed: dict[str | None, int] = defaultdict(int)
    for row in failures:
        failed[row["origin"]] += row["files"] if row["stage"] == "ingest" else 0
    known = {row["origin"]: row for row in images}
    new = {"images": 0, "gone": 0, "last_day": 0, "last_at": None}
    return [
        Origin(
            **{name: known.get(origin, new)[name] for name in new},
            origin=origin,
            waiting=waiting[origin]["files"] if origin in waiting else 0,
            oldest_waiting=waiting[origin]["oldest"] if origin in waiting else None,
            failed=failed.get(origin, 0),
        )
        for origin in dict.fromkeys([*known, *waiting, *(one for one, count in failed.items() if count)])
    ]


def _without_values(query: str) -> str:
    """The query of a pull: dates and modalities as they are, of other keys the name, for they may be of a patient."""
    shown = ("since", "until", "ModalitiesInStudy")
    pairs = parse_qsl(query, keep_blank_values=True)
    return ", ".join(f"{key}={value}" if key in shown else f"{key}" for key, value in pairs)


def _disk(size: int, home: Room | None, store: Room | None) -> Disk:
    return Disk(
        database=size,
        database_free=None if home is None else home.free,
        database_disk=None if home is None else home.total,
        store_free=None if store is None else store.free,
        store_disk=None if store is None else store.total,
    )


def _status(found: dict[str, Any]) -> dict[str, Any]:
    """The same facts as `Archive.status()` names them, as far as advice needs them."""
    images = found["images"]
    counts = {name: getattr(images, name) for name in ("coded", "pending", "gone", "same_uid", "flat")}
    return counts | {
        "images": images.total,
        "encoders": len(found["encoders"]),
        "arrived": found["inbox"],
        "failed": found["failed"],
        "index": found["index"],
        "readers": [],  # which health looks at
    }


def _of_health(check: Check) -> Finding:
    repair = check.repair or ""
    command = repair if repair.startswith("radretrieval ") else None
    return Finding(kind=check.name, count=check.count, text=f"{check.text}: {repair}", command=command)

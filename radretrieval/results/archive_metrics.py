"""The state of an archive as Prometheus text: counts, queues and their ages, services, disks, what `health` finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from radretrieval import __version__
from radretrieval.archive import encoders, heartbeats, opening, operation
from radretrieval.archive.connections import Connection, Database
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.jobs.health import Health, HealthOptions, Level
from radretrieval.metrics import MOST_LABELS, OTHER
from radretrieval.storage.store_size import room

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

FOUND = "found"  # origin of files that no peer sent
_LEVELS = {Level.OK: 0, Level.WARNING: 1, Level.FAILURE: 2}


def archive_metrics(database: Database, settings: Settings) -> str:
    """What an archive is and has at this moment.

    Raises
    ------
    EnvironmentUnusable : the database cannot be used.
    """
    facts = opening.check(database)
    with database.connection() as connection:
        families = [*_images(connection), *_queues(connection), *_failures(connection), *_services(connection)]
        size = operation.database_bytes(connection)
    versions = (__version__, facts["server_version"], facts["pgvector_version"], facts["revision"])
    families += [
        *_disks(database, settings, size),
        _health(Health.of(database, settings, HealthOptions())),
        _family("info", "Versions; always 1.", ("version", "postgresql", "pgvector", "revision"), (versions, 1)),
        _family("up", "Whether the database can be used.", (), ((), 1)),
    ]
    return _text(families)


def without_database(error: EnvironmentUnusable) -> str:
    """The metrics of an archive whose database cannot be used."""
    return _text(
        [
            _health(Health.without_database(error)),
            _family("up", "Whether the database can be used.", (), ((), 0)),
        ]
    )


def _images(connection: Connection) -> Iterator[GaugeMetricFamily]:
    origins = [(_origin(row), row) for row in operation.origins(connection)]
    for name, what in (
        ("images", "Images by the peer that they came from."),
        ("last_day", "Images that came in the last 24 hours."),
        ("hidden", "Images that are withdrawn from searches."),
        ("gone", "Images whose file is gone."),
        ("flat", "Images whose pixels show nothing."),
    ):
        rows = [((origin,), row[name]) for origin, row in origins]
        yield _family("images" if name == "images" else f"images_{name}", what, ("origin",), *rows)
    codes = [
        ((str(row["encoder_id"]), str(row["active"]).lower()), row["codes"]) for row in encoders.listed(connection)
    ]
    yield _family("codes", "Images that have a code of an encoder.", ("encoder", "active"), *codes)


def _queues(connection: Connection) -> Iterator[GaugeMetricFamily]:
    now = datetime.now(UTC)
    active = next((row for row in encoders.listed(connection) if row["active"]), None)
    oldest = operation.oldest_pending(connection, active["encoder_id"]) if active else None
    what = "For how long an image has waited for its code."
    yield _family("image_oldest_waiting_seconds", what, (), ((), _age(oldest, now)))
    arrivals = operation.arrivals(connection)
    rows = [((_origin(row),), row["files"]) for row in arrivals]
    yield _family("files_waiting", "Files that came and are no images yet.", ("origin",), *rows)
    rows = [((_origin(row),), _age(row["oldest"], now)) for row in arrivals]
    yield _family("file_oldest_waiting_seconds", "For how long a file has waited.", ("origin",), *rows)
    rows = [((row["url"],), _age(row["pulled_at"], now)) for row in reversed(operation.pulls(connection))]
    yield _family("pull_seconds", "Since the last pull from a peer.", ("origin",), *dict(rows).items())


def _failures(connection: Connection) -> Iterator[GaugeMetricFamily]:
    counts: dict[tuple[str, ...], int] = {}
    for row in operation.failure_groups(connection):
        kind = row["stage"], row["error"], _origin(row)
        counts[kind] = counts.get(kind, 0) + row["files"]
    labels = ("stage", "error", "origin")
    yield _family("failures", "Files (stage ingest) and images (stage code) that failed.", labels, *counts.items())


def _services(connection: Connection) -> Iterator[GaugeMetricFamily]:
    beats = [((beat.program, beat.host), beat) for beat in heartbeats.beats(connection) if not beat.replaced]
    ages = {labels: min(other.seconds for also, other in beats if also == labels) for labels, _ in beats}
    what = "Since a service was last heard of."
    yield _family("heartbeat_seconds", what, ("service", "host"), *ages.items())


def _disks(database: Database, settings: Settings, size: int) -> Iterator[GaugeMetricFamily]:
    rooms = {"store": room(settings.store_folder)} | ({"database": room(settings.home)} if database.embedded else {})
    seen = {name: one for name, one in rooms.items() if one is not None}
    what = "What is free on a disk."
    yield _family("disk_free_bytes", what, ("disk",), *(((name,), one.free) for name, one in seen.items()))
    yield _family("disk_bytes", "The size of a disk.", ("disk",), *(((name,), one.total) for name, one in seen.items()))
    yield _family("database_bytes", "What the database takes.", (), ((), size))


def _health(health: Health) -> GaugeMetricFamily:
    worst: dict[tuple[str, ...], int] = {}
    for check in health.checks:
        worst[(check.name,)] = max(worst.get((check.name,), 0), _LEVELS[check.level])
    what = "What radretrieval health finds: 0 well, 1 a warning, 2 a failure."
    return _family("health", what, ("check",), *worst.items())


def _family(name: str, what: str, labels: tuple[str, ...], *rows: tuple[tuple[str, ...], float]) -> GaugeMetricFamily:
    """A metric; of more than `MOST_LABELS` sets of values, as of callers who give themselves names, the largest.

    The others are one, `other`: their sum, of seconds the longest.
    """
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(f"radretrieval_{name}", what, labels=labels)
    ordered = sorted(rows, key=lambda row: row[1], reverse=True) if len(rows) > MOST_LABELS else rows
    for values, value in ordered[:MOST_LABELS]:
        family.add_metric(values, value)
    if others := [value for _, value in ordered[MOST_LABELS:]]:
        family.add_metric([OTHER] * len(labels), max(others) if name.endswith("_seconds") else sum(others))
    return family


def _text(families: list[GaugeMetricFamily]) -> str:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Found(Collector):
        def collect(self) -> list[GaugeMetricFamily]:
            return families

    registry = CollectorRegistry()
    registry.register(Found())
    return generate_latest(registry).decode()


def _origin(row: dict[str, str | None]) -> str:
    return row["origin"] or FOUND


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())

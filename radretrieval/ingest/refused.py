"""Failures of an ingestion, but those of files that were forgotten: their paths may name a patient."""

from __future__ import annotations

from collections.abc import Sequence

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.archive.images import Failure
from radretrieval.config import Settings
from radretrieval.privacy.tombstones import Names, refuse


def keep_failures(
    connection: Connection, settings: Settings, failures: Sequence[tuple[Failure, bytes | None]]
) -> list[bytes]:
    """Write failures, each with the SHA-256 of its file, but those of forgotten files; returns the SHA-256 of these."""
    when = refuse(connection, settings, [Names(sha256) for _, sha256 in failures])
    images.keep_failures(connection, [one for (one, _), at in zip(failures, when, strict=True) if at is None])
    gone = [failure for failure, at in zip(failures, when, strict=True) if at is not None]
    images.forget_failures(connection, [failure.uri for failure, _ in gone])
    return [sha256 for _, sha256 in gone if sha256 is not None]

"""Searches of many queries by one statement: stored codes of the queries, and the nearest codes of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.queries import sql
from radretrieval.archive.search import hnsw, nearest

PAGE = 4096  # ids that are read at a time


@dataclass(frozen=True)
class StoredQuery:
    """An image of the archive as a query; code and barcode are None unless it has both."""

    image_id: int
    uri: str
    sha256: bytes
    patient_key: str | None
    irma_code: str | None
    cnnc: NDArray[np.uint8] | None
    rbc: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Candidates:
    """The nearest codes of one query that have a barcode, ties with the last included, in no order.

    Attributes
    ----------
    image_ids : int64 (n,). distances : int32 (n,). barcodes : uint8 (n, bytes).
    path : how they were found, see `nearest.candidates`.
    """

    image_ids: NDArray[np.int64]
    distances: NDArray[np.int32]
    barcodes: NDArray[np.uint8]
    path: str


@dataclass(frozen=True)
class HitFacts:
    """The file of a hit and its label."""

    uri: str
    irma_code: str | None


def by_ids(connection: Connection, encoder: Encoder, geometry: int, ids: Sequence[int]) -> dict[int, StoredQuery]:
    """The images with these ids that the archive has, by id; an id may be any integer."""
    legal = [image_id for image_id in ids if 0 <= image_id < 2**63]
    values = {"encoder": encoder.id, "geometry": geometry, "ids": legal}
    return {known.image_id: known for known in _known(connection, sql("many_images"), values)}


def by_contents(
    connection: Connection, encoder: Encoder, geometry: int, hashes: Sequence[bytes]
) -> dict[bytes, StoredQuery]:
    """The images with these contents that the archive has, by SHA-256."""
    values = {"encoder": encoder.id, "geometry": geometry, "sha256": list(hashes)}
    return {known.sha256: known for known in _known(connection, sql("many_contents"), values)}


def _known(connection: Connection, statement: str, values: dict[str, Any]) -> list[StoredQuery]:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(statement, values).fetchall()
    found = []
    for row in rows:
        both = row["code"] is not None and row["barcode"] is not None
        code, barcode = (np.frombuffer(row[name], np.uint8) if both else None for name in ("code", "barcode"))
        found.append(
            StoredQuery(
                row["id"], row["uri"], bytes(row["sha256"]), row["patient_key"], row["irma_code"], code, barcode
            )
        )
    return found


def coded_ids(connection: Connection, encoder: Encoder) -> Iterator[int]:
    """The ids of all images that have a code of this encoder, ascending, read page by page."""
    after = -1
    while True:
        rows = connection.execute(sql("many_coded"), {"encoder": encoder.id, "after": after, "limit": PAGE}).fetchall()
        if not rows:
            return
        yield from (row["image_id"] for row in rows)
        after = rows[-1]["image_id"]


def nearest_of_codes(
    connection: Connection,
    encoder: Encoder,
    geometry: int,
    codes: Sequence[NDArray[np.uint8]],
    limit: int,
    filters: Sequence[Filter],
) -> list[Candidates]:
    """The `limit` nearest codes of each query, as `nearest.candidates` finds them, by one statement.

    Parameters
    ----------
    codes : of each query, uint8 (bits / 8,). filters : on the candidates of each.

    Raises UsageError for a filter that names no column or value.
    """
    if any(hnsw.answers(encoder, limit, one) for one in filters):
        return [
            _of_single(*nearest.candidates(connection, encoder, geometry, code, limit, one))
            for code, one in zip(codes, filters, strict=True)
        ]
    values = {
        "codes": [nearest.bit_text(code) for code in codes],
        "filters": [one.as_json() for one in filters],
        "limit": limit,
        "encoder": encoder.id,
        "geometry": geometry,
    }
    own_sql = any(one.sql is not None for one in filters)
    with connections.asked_rightly(connection, own_sql), connection.cursor(binary=True) as cursor:
        rows = {row["place"]: row for row in cursor.execute(sql("many_nearest"), values)}
    return [_of_row(rows.get(place)) for place in range(1, len(codes) + 1)]


def _of_row(row: dict[str, Any] | None) -> Candidates:
    # without a row no code passed the filter, and all were compared, as in `nearest.candidates`
    ids = [] if row is None else row["image_ids"] or []
    far = [] if row is None else row["distances"] or []
    barcodes = np.frombuffer(row["barcodes"] if row is not None and ids else b"", np.uint8)
    shaped = barcodes.reshape(len(ids), -1) if ids else barcodes.reshape(0, 0)
    path = "exact-filter" if row is None else row["path"]
    return Candidates(np.array(ids, np.int64), np.array(far, np.int32), shaped, path)


def _of_single(found: Sequence[nearest.Candidate], path: str) -> Candidates:
    able = [(one, one.barcode) for one in found if one.barcode is not None]
    barcodes = np.frombuffer(b"".join(barcode for _, barcode in able), np.uint8)
    return Candidates(
        np.array([one.image_id for one, _ in able], np.int64),
        np.array([one.cnnc_distance for one, _ in able], np.int32),
        barcodes.reshape(len(able), -1) if able else barcodes.reshape(0, 0),
        path,
    )


def hit_facts(connection: Connection, ids: Sequence[int]) -> dict[int, HitFacts]:
    """Files and labels of these images, by id."""
    rows = connection.execute(sql("many_facts"), {"ids": list(ids)})
    return {row["id"]: HitFacts(row["uri"], row["irma_code"]) for row in rows}

"""The nearest codes, by SQL: exactly, or by an HNSW index where that was built and no exact index was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.queries import sql
from radretrieval.archive.search import hnsw
from radretrieval.archive.search.stored import HitFacts

BATCH = 128  # queries of one statement in `nearest_of_images`
SPARE = 64  # rows beyond the limit of `nearest_of_images`, for ties with the last
COUNTED = 10_000  # matching images are counted up to here
HIDDEN = 1_000  # nearer images that a filter excluded are counted up to here


@dataclass(frozen=True)
class Candidate:
    """One of the nearest codes, with its barcode (None while it has none) and its image."""

    image_id: int
    cnnc_distance: int
    barcode: bytes | None
    facts: HitFacts


@dataclass(frozen=True)
class FilterEffect:
    """How many images a filter kept and excluded.

    Attributes
    ----------
    matched : coded images that pass it, counted up to `COUNTED`.
    hidden : images nearer than the last candidate that do not pass, counted up to `HIDDEN`; None without a candidate.
    """

    matched: int
    hidden: int | None

    @property
    def more_matched(self) -> bool:
        """Whether counting ended at `COUNTED`."""
        return self.matched == COUNTED

    @property
    def more_hidden(self) -> bool:
        """Whether counting ended at `HIDDEN`."""
        return self.hidden == HIDDEN


@dataclass(frozen=True)
class Candidates:
    """The nearest codes of one query that have a barcode, ties with the last included, in no order.

    Attributes
    ----------
    image_ids : int64 (n,). distances : int32 (n,). barcodes : uint8 (n, bytes).
    path : how they were found, see `candidates`.
    """

    image_ids: NDArray[np.int64]
    distances: NDArray[np.int32]
    barcodes: NDArray[np.uint8]
    path: str

    @classmethod
    def of(cls, ids: Sequence[int], distances: Sequence[int], barcodes: bytes, path: str) -> Candidates:
        """Candidates with their barcodes joined."""
        packed = np.frombuffer(barcodes, np.uint8).reshape(len(ids), len(barcodes) // max(len(ids), 1))
        return cls(np.array(ids, np.int64), np.array(distances, np.int32), packed, path)


def candidates(
    connection: Connection,
    encoder: Encoder,
    geometry: int,
    code: NDArray[np.uint8],
    limit: int,
    wanted: Filter | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[list[Candidate], str]:
    """The `limit` images with the smallest Hamming distance to `code`, by (distance, id), and how they were found.

    Parameters
    ----------
    code : uint8 (bits / 8,), packed MSB first.
    wanted : a filter on the candidates; it is always answered exactly, with `limit` images if so many pass.
    meanwhile : called once the statement was sent, while the server works on it.

    Returns
    -------
    The candidates, with those that tie with the last; fewer than `limit` only when no more pass the filter. And the
    path: `exact-index`, `exact-filter`, `exact-scan` or `hnsw`.

    Raises UsageError for a filter that names no column or value.
    """
    wanted = wanted or Filter()
    values: dict[str, Any] = {
        "code": bit_text(code),
        "encoder": encoder.id,
        "geometry": geometry,
        "limit": limit,
        "filter": wanted.as_json(),
    }
    if hnsw.answers(encoder, limit, wanted):
        meanwhile()
        return _as_candidates(hnsw.nearest(connection, values, limit, wanted.not_images)), "hnsw"
    with (
        connections.filter_errors(connection, wanted.sql is not None),
        connection.pipeline(),  # in which a statement is sent, and its rows are waited for when they are fetched
        connection.cursor(binary=True) as cursor,
    ):
        cursor.execute(sql("nearest"), values)
        meanwhile()
        rows = cursor.fetchall()
    # an empty answer has no path: no code passed the filter, and all were compared
    return _as_candidates(rows), rows[0]["path"] if rows else "exact-filter"


def filter_effect(
    connection: Connection, encoder: Encoder, code: NDArray[np.uint8], wanted: Filter, found: Sequence[Candidate]
) -> FilterEffect:
    """The effect of a filter on the candidates `found` for the same code."""
    values = {"encoder": encoder.id, "filter": wanted.as_json(), "most": COUNTED}
    with connections.filter_errors(connection, wanted.sql is not None), connection.cursor(binary=True) as cursor:
        counted = cursor.execute(sql("nearest_matched"), values).fetchone()
    assert counted is not None
    if not found:
        return FilterEffect(counted["matched"], None)
    last = found[-1].cnnc_distance
    passed = sum(candidate.cnnc_distance < last for candidate in found)
    values = {
        "code": bit_text(code),
        "encoder": encoder.id,
        "distance": last - 1,
        "own": list(wanted.not_images),
        "most": HIDDEN + passed + len(wanted.not_images),
    }
    with connection.cursor(binary=True) as cursor:
        nearer = cursor.execute(sql("nearest_hidden"), values).fetchone()
    assert nearer is not None
    return FilterEffect(counted["matched"], min(max(nearer["nearer"] - nearer["own"] - passed, 0), HIDDEN))


def _as_candidates(rows: Sequence[dict[str, Any]]) -> list[Candidate]:
    return [Candidate(row["image_id"], row["distance"], row["barcode"], HitFacts.of(row)) for row in rows]


def nearest_of_images(
    connection: Connection,
    encoder: Encoder,
    queries: NDArray[np.int64],
    among: NDArray[np.int64],
    limit: int,
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int32]]]:
    """The `limit` nearest codes of many images, by the same distance and order as `candidates`, in batches.

    Parameters
    ----------
    queries : (m,), images that have a code. among : (n,), the images that are searched; a query's own is left out.

    Yields
    ------
    Which of the queries; the ids of their nearest images, int64 (batch, w), and their distances, int32 (batch, w).
    w is `limit` or more, for ties with the last are included; shorter rows are padded with the id and distance -1.
    """
    for start in range(0, len(queries), BATCH):
        part = slice(start, min(start + BATCH, len(queries)))
        rows = _with_ties(connection, encoder, queries[part], among, limit)
        width = max([limit, *(len(found) for found, _ in rows.values())])
        ids = np.full((part.stop - start, width), -1, np.int64)
        distances = np.full(ids.shape, -1, np.int32)
        for place, query in enumerate(queries[part].tolist()):
            if query in rows:
                found, far = rows[query]
                ids[place, : len(found)], distances[place, : len(far)] = found, far
        yield part, ids, distances


def _with_ties(
    connection: Connection, encoder: Encoder, queries: NDArray[np.int64], among: NDArray[np.int64], limit: int
) -> dict[int, tuple[list[int], list[int]]]:
    """Ids and distances of the nearest of each query; a query with more ties than rows is repeated with more rows."""
    result: dict[int, tuple[list[int], list[int]]] = {}
    rows_wanted = limit + SPARE
    while len(queries):
        rows = _nearest_rows(connection, encoder, queries, among, rows_wanted)
        again = []
        for query, row in rows.items():
            far = row["distances"]
            if len(far) == rows_wanted and far[-1] == far[limit - 1] and rows_wanted < limit + 10_000:
                again.append(query)
                continue
            kept = sum(distance <= far[limit - 1] for distance in far) if len(far) > limit else len(far)
            result[query] = row["image_ids"][:kept], far[:kept]
        queries, rows_wanted = np.array(again, np.int64), limit + 10_000  # as many ties as cnnc_nearest returns
    return result


def _nearest_rows(
    connection: Connection, encoder: Encoder, queries: NDArray[np.int64], among: NDArray[np.int64], limit: int
) -> dict[int, dict[str, Any]]:
    values = {"encoder": encoder.id, "among": among.tolist(), "queries": queries.tolist(), "limit": limit}
    # work_mem for about 170 bytes a code; with less PostgreSQL sorts in files. At most a quarter of a gigabyte
    memory = f"{min(max(4, len(among) * 170 // 1_000_000 + 4), 256)}MB"
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        cursor.execute(sql("batch_settings"), {"memory": memory})
        return {row["query"]: row for row in cursor.execute(sql("nearest_of_images"), values)}


def nearest_of_codes(
    connection: Connection,
    encoder: Encoder,
    geometry: int,
    codes: Sequence[NDArray[np.uint8]],
    limit: int,
    filters: Sequence[Filter],
) -> list[Candidates]:
    """The `limit` nearest codes of each query, as `candidates` finds them, by one statement.

    Parameters
    ----------
    codes : of each query, uint8 (bits / 8,). filters : on the candidates of each.

    Raises UsageError for a filter that names no column or value.
    """
    if any(hnsw.answers(encoder, limit, one) for one in filters):
        result = []
        for code, one in zip(codes, filters, strict=True):
            found, path = candidates(connection, encoder, geometry, code, limit, one)
            able = [(c.image_id, c.cnnc_distance, c.barcode) for c in found if c.barcode is not None]
            ids, far, barcodes = zip(*able, strict=True) if able else ((), (), ())
            result.append(Candidates.of(ids, far, b"".join(barcodes), path))
        return result
    values = {
        "codes": [bit_text(code) for code in codes],
        "filters": [one.as_json() for one in filters],
        "limit": limit,
        "encoder": encoder.id,
        "geometry": geometry,
    }
    own_sql = any(one.sql is not None for one in filters)
    with connections.filter_errors(connection, own_sql), connection.cursor(binary=True) as cursor:
        rows = {row["place"]: row for row in cursor.execute(sql("nearest_of_codes"), values)}
    # without a row no code passed the filter, and all were compared, as in `candidates`
    nothing: dict[str, Any] = {"image_ids": None, "distances": None, "barcodes": None, "path": "exact-filter"}
    found_rows = [rows.get(place, nothing) for place in range(1, len(codes) + 1)]
    return [
        Candidates.of(row["image_ids"] or [], row["distances"] or [], row["barcodes"] or b"", row["path"])
        for row in found_rows
    ]


def bit_text(code: NDArray[np.uint8]) -> str:
    """A packed code as a PostgreSQL bit string: '0100…'."""
    return (np.unpackbits(code) + ord("0")).tobytes().decode("ascii")

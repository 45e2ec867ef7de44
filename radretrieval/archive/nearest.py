"""The nearest codes, in SQL: exact by default, through an HNSW index where the admin built one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import images
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.schema_names import hnsw_index, partition
from radretrieval.archive.statements import sql
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

# pgvector's default of 40 returns 40 rows for LIMIT 50, silently; 400 is where recall holds (shared measurements)
EF_SEARCH = 400
EF_SEARCH_MOST = 1000
BATCH = 128  # queries of one statement in `of_images`


@dataclass(frozen=True)
class Candidate:
    """One of the nearest codes, with its barcode (None while it has none) and its image."""

    image_id: int
    cnnc_distance: int
    barcode: bytes | None
    uri: str
    sha256: bytes
    irma_code: str | None
    rows: int
    columns: int


@dataclass(frozen=True)
class Filter:
    """What a candidate must be: column = value for each of `where`; none of these images, not of this patient."""

    where: tuple[tuple[str, str], ...] = ()
    not_images: tuple[int, ...] = ()
    not_patient: str | None = None


def candidates(
    connection: Connection,
    encoder: Encoder,
    geometry: int,
    code: NDArray[np.uint8],
    limit: int,
    wanted: Filter | None = None,
) -> tuple[list[Candidate], str]:
    """The `limit` images with the smallest Hamming distance to `code`, by (distance, id), and the path that answered.

    Parameters
    ----------
    code : uint8 (bits / 8,), packed MSB first.
    wanted : what the candidates must be; a filter is always answered exactly, so that `limit` come if there are.

    Returns
    -------
    The candidates, fewer than `limit` only when no more pass the filter, and `exact` or `hnsw`.
    """
    wanted = wanted or Filter()
    values: dict[str, Any] = {
        "code": bit_text(code),
        "encoder": encoder.id,
        "geometry": geometry,
        "limit": limit,
    }
    spare = len(wanted.not_images)
    if encoder.hnsw and not wanted.where and wanted.not_patient is None and limit + spare <= EF_SEARCH_MOST:
        found = _through_hnsw(connection, values, limit + spare)
        left = [row for row in found if row["image_id"] not in wanted.not_images][:limit]
        return _as_candidates(left), "hnsw"
    images.check_filters(dict(wanted.where))
    join, where = _conditions(wanted, values)
    statement = sql("nearest_exact").replace("{join}", join).replace("{where}", where)
    with connection.cursor(binary=True) as cursor:
        return _as_candidates(cursor.execute(statement, values).fetchall()), "exact"


def _as_candidates(rows: Sequence[dict[str, Any]]) -> list[Candidate]:
    return [
        Candidate(
            row["image_id"],
            row["distance"],
            row["barcode"],
            row["uri"],
            bytes(row["sha256"]),
            row["irma_code"],
            row["rows"],
            row["columns"],
        )
        for row in rows
    ]


def _conditions(wanted: Filter, values: dict[str, Any]) -> tuple[str, str]:
    """The join and the conditions of a filter; the column names are from `images.FILTERS`, the values parameters."""
    conditions = []
    for place, (name, value) in enumerate(wanted.where):
        values[f"where{place}"] = value
        conditions.append(f"f.{name} = %(where{place})s")
    if wanted.not_patient is not None:
        values["patient"] = wanted.not_patient
        conditions.append("f.patient_key IS DISTINCT FROM %(patient)s")
    join = "JOIN image f ON f.id = c.image_id" if conditions else ""
    if wanted.not_images:
        values["not_images"] = list(wanted.not_images)
        conditions.append("c.image_id <> ALL(%(not_images)s)")
    return join, "".join(f" AND {condition}" for condition in conditions)


def _through_hnsw(connection: Connection, values: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """One query through the index; the settings hold for this transaction only."""
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        cursor.execute(sql("hnsw_settings"), {"ef": str(max(limit, EF_SEARCH))})
        rows = cursor.execute(sql("nearest_hnsw"), {**values, "limit": limit}, prepare=False).fetchall()
        cursor.execute(sql("hnsw_settings_off"))
        return rows


def of_images(
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
    Which of the queries; the ids of their nearest images, int64 (batch, limit); and their distances, int32
    (batch, limit). A row that has fewer than `limit` is filled up with the id and the distance -1.
    """
    for start in range(0, len(queries), BATCH):
        part = slice(start, min(start + BATCH, len(queries)))
        rows = _nearest_rows(connection, encoder, queries[part], among, limit)
        ids = np.full((part.stop - start, limit), -1, np.int64)
        distances = np.full(ids.shape, -1, np.int32)
        for place, query in enumerate(queries[part].tolist()):
            found = rows.get(query)
            if found is not None:
                ids[place, : len(found["image_ids"])] = found["image_ids"]
                distances[place, : len(found["distances"])] = found["distances"]
        yield part, ids, distances


def _nearest_rows(
    connection: Connection, encoder: Encoder, queries: NDArray[np.int64], among: NDArray[np.int64], limit: int
) -> dict[int, dict[str, Any]]:
    values = {"encoder": encoder.id, "among": among.tolist(), "queries": queries.tolist(), "limit": limit}
    # a code takes about 170 bytes in memory; beyond a quarter of a gigabyte PostgreSQL writes them to a file
    memory = f"{min(max(4, len(among) * 170 // 1_000_000 + 4), 256)}MB"
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        cursor.execute(sql("batch_settings"), {"memory": memory})
        return {row["query"]: row for row in cursor.execute(sql("nearest_of_images"), values)}


def bit_text(code: NDArray[np.uint8]) -> str:
    """A packed code as PostgreSQL writes a bit string: '0100…'."""
    return (np.unpackbits(code) + ord("0")).tobytes().decode("ascii")


def build_hnsw(connection: Connection, encoder: Encoder) -> int:
    """Build the HNSW index of an encoder's codes, replacing one that is there, in the caller's transaction.

    Searches go on meanwhile, workers of this encoder wait. Returns the number of codes.
    """
    number = _count(connection, encoder)
    # 1.3 kB a code keeps the graph in memory while it is built; more than 2 GB is a decision for the DBA
    connection.execute(sql("index_memory"), {"memory": f"{min(max(64, number * 13 // 10_000), 2048)}MB"})
    statement = sql("index_build").replace("{index}", hnsw_index(encoder.id))
    connection.execute(statement.replace("{partition}", partition(encoder.id)))
    drop_hnsw(connection, encoder)
    connection.execute(sql("index_rename").replace("{index}", hnsw_index(encoder.id)))
    return number


def drop_hnsw(connection: Connection, encoder: Encoder) -> int:
    """Drop the HNSW index of an encoder's codes if there is one; returns the number of codes."""
    connection.execute(sql("index_drop").replace("{index}", f"radretrieval.{hnsw_index(encoder.id)}"))
    return _count(connection, encoder)


def _count(connection: Connection, encoder: Encoder) -> int:
    row = connection.execute(sql("partition_rows").replace("{partition}", partition(encoder.id))).fetchone()
    assert row is not None
    return int(row["rows"])


def audit_hnsw(connection: Connection, encoder: Encoder, limit: int, sample: int) -> tuple[int, float, float]:
    """How many codes there are, and which share of the true nearest the index finds: mean and smallest of a sample.

    A row counts as found when its distance is at most that of the true last place (ties may fall either way).
    Raises UsageError when there is no index.
    """
    if not encoder.hnsw:
        raise UsageError(
            f"encoder {encoder.id} has no HNSW index; build one with: radretrieval index build --kind hnsw"
        )
    asked = connection.execute(
        sql("index_sample").replace("{partition}", partition(encoder.id)), {"sample": sample}
    ).fetchall()
    shares = []
    for row in asked:
        values = {"code": row["code"], "encoder": encoder.id, "geometry": 0, "limit": limit}
        exact = sql("nearest_exact").replace("{join}", "").replace("{where}", "")
        true = connection.execute(exact, values).fetchall()
        found = _through_hnsw(connection, values, limit)
        within = sum(row["distance"] <= true[-1]["distance"] for row in found)
        shares.append(min(within, len(true)) / len(true))
    return (
        _count(connection, encoder),
        float(np.mean(shares)) if shares else 1.0,
        float(min(shares, default=1.0)),
    )

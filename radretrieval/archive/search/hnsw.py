"""pgvector's HNSW index: approximate, used where it was built and no exact index was; answers name it in `path`."""

from __future__ import annotations

from typing import Any

import numpy as np

from radretrieval.archive import locks
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.queries import sql
from radretrieval.archive.schema.names import hnsw_index, partition
from radretrieval.errors import UsageError

# with pgvector's default of 40, LIMIT 50 returns 40 rows; recall was measured to be high from 400 on
EF_SEARCH = 400
EF_SEARCH_MOST = 1000
SPARE = 50  # rows beyond the limit, for ties with the last


def answers(encoder: Encoder, limit: int, wanted: Filter) -> bool:
    """Whether a search uses the graph: there is no exact index, and no filter that would shorten its answer."""
    small = limit + len(wanted.not_images) + SPARE <= EF_SEARCH_MOST
    return encoder.hnsw and encoder.exact is None and not wanted.narrows and small


def nearest(
    connection: Connection, values: dict[str, Any], limit: int, not_images: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Rows of the `limit` nearest codes that the graph finds, with those found that tie with the last."""
    found = search_graph(connection, values, limit + len(not_images) + SPARE)
    left = [row for row in found if row["image_id"] not in not_images]
    return [row for row in left if len(left) <= limit or row["distance"] <= left[limit - 1]["distance"]]


def search_graph(connection: Connection, values: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """One query by the index, with settings of this transaction."""
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        cursor.execute(sql("hnsw_settings"), {"ef": str(max(limit, EF_SEARCH))})
        rows = cursor.execute(sql("nearest_hnsw"), {**values, "limit": limit}, prepare=False).fetchall()
        cursor.execute(sql("hnsw_settings_off"))
        return rows


def build(connection: Connection, encoder: Encoder) -> int:
    """Build or replace the HNSW index of an encoder's codes, in the caller's transaction; returns the number of codes.

    Meanwhile searches are answered, and workers of this encoder wait.
    """
    number = _count(connection, encoder)
    # 1.3 kB a code keep the graph in memory while it is built; at most 2 GB
    connection.execute(sql("index_memory"), {"memory": f"{min(max(64, number * 13 // 10_000), 2048)}MB"})
    statement = sql("index_build").replace("{index}", hnsw_index(encoder.id))
    connection.execute(statement.replace("{partition}", partition(encoder.id)))
    drop(connection, encoder)
    connection.execute(sql("index_rename").replace("{index}", hnsw_index(encoder.id)))
    return number


def drop(connection: Connection, encoder: Encoder) -> int:
    """Drop the HNSW index of an encoder's codes if there is one; returns the number of codes."""
    off = sql("index_drop").replace("{index}", f"radretrieval.{hnsw_index(encoder.id)}")
    locks.while_locked(connection, [partition(encoder.id)], lambda: connection.execute(off), readers=True)
    connection.execute(sql("hnsw_not_audited"), {"encoder": encoder.id})
    return _count(connection, encoder)


def _count(connection: Connection, encoder: Encoder) -> int:
    row = connection.execute(sql("partition_rows").replace("{partition}", partition(encoder.id))).fetchone()
    assert row is not None
    return int(row["rows"])


def audit(connection: Connection, encoder: Encoder, limit: int, sample: int) -> tuple[int, float, float]:
    """Measure the recall of the index on a sample of stored codes: the number of codes, mean and smallest recall.

    A row counts as found when its distance is at most that of the true last one (ties are equivalent). The recall is
    stored, and reported with every answer by the index. Raises UsageError when there is no index.
    """
    if not encoder.hnsw:
        raise UsageError(
            f"encoder {encoder.id} has no HNSW index; build one with: radretrieval index build --kind hnsw"
        )
    sampled = connection.execute(
        sql("index_sample").replace("{partition}", partition(encoder.id)), {"sample": sample}
    ).fetchall()
    shares = []
    for row in sampled:
        values = {"code": row["code"], "encoder": encoder.id, "geometry": 0, "limit": limit}
        true = [exact["distance"] for exact in connection.execute(sql("nearest_distances"), values)][:limit]
        found = search_graph(connection, values, limit)
        within = sum(row["distance"] <= true[-1] for row in found)
        shares.append(min(within, len(true)) / len(true))
    mean, worst = (float(np.mean(shares)), float(min(shares))) if shares else (1.0, 1.0)
    number = _count(connection, encoder)
    values = {"encoder": encoder.id, "recall": mean, "worst": worst, "sample": len(shares), "codes": number}
    connection.execute(sql("hnsw_audited"), values)
    return number, mean, worst

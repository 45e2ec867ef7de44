"""The exact index of an encoder's codes: made in the background, switched to in one transaction, checked as a whole.

Searches by it are in SQL (archive/sql/functions/exact_ball.sql), and triggers keep it true to the codes
(exact_cnnc_changed.sql, exact_image_changed.sql). While one is built, another goes on answering, and writers only note
which images they changed; those are looked at again before the switch. A builder that is killed leaves rows that the
next one removes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import connections
from radretrieval.archive.bulk_copy import copy_rows
from radretrieval.archive.connections import Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.queries import sql
from radretrieval.archive.schema.names import exact_table, partition
from radretrieval.coding.anchors import Anchors, choose
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

log = logging.getLogger(__name__)

SAMPLE = 64  # codes a wanted anchor that the anchors are chosen from
BATCH = 20_000  # codes that are read and assigned at a time
FEW = 500  # images that changed meanwhile and may be looked at while writers wait
GROWN = 4  # times as many codes as an index was built of ask for more anchors
LONGEST_PAUSE = 5.0  # seconds, between tries to lock writers out for a moment
PATIENCE_SECONDS = 60.0  # for searches that still read the index that was replaced


@dataclass(frozen=True)
class BuiltIndex:
    """What `build` made."""

    index_id: int
    codes: int
    anchors: int


def anchors_for(codes: int) -> int:
    """How many anchors serve so many codes best: the power of two nearest to twice their square root, 16 to 16384.

    More anchors leave fewer codes to look at, but each costs a comparison and a descent in the B-tree.
    """
    wanted: int = 2 ** round(np.log2(max(codes, 1)) / 2 + 1)
    return min(max(wanted, 16), 16_384)


def build(
    database: Database, encoder: Encoder, anchors: int | None = None, advance: Callable[[int], None] | None = None
) -> BuiltIndex:
    """Build the exact index of an encoder's codes beside the one that there is, and switch to it.

    Searches and workers go on meanwhile; at the switch, writers wait for a moment.

    Parameters
    ----------
    anchors : how many; None for as many as serve these codes best.
    advance : called with the number of codes that were assigned.

    Raises
    ------
    UsageError : the encoder has no codes; its index is being built by another process.
    """
    with _builder(database, encoder) as connection:
        _remove_leftovers(connection, encoder)
        codes = _count(connection, encoder)
        if codes == 0:
            raise UsageError(f"encoder {encoder.id} has no codes to index; run: radretrieval work --once")
        chosen = choose(_sample(connection, encoder, codes, anchors), anchors or anchors_for(codes))
        index_id = _begin(connection, encoder, chosen)
        _fill(connection, encoder, index_id, chosen, advance or (lambda count: None))
        while _again(connection, encoder, index_id, chosen, BATCH) > FEW:
            pass
        _switch(connection, encoder, index_id, chosen)
        _remove_leftovers(connection, encoder)
        return BuiltIndex(index_id, _count(connection, encoder), len(chosen.codes))


def facts(connection: Connection, encoder: Encoder, codes: int) -> dict[str, Any]:
    """What searches of an encoder with so many codes use, and what there is to tell of it.

    `kind` is exact, hnsw or none; `built_of`, `live_at`: of the exact index; `recall`, `recall_worst`, `measured_at`:
    what was last measured of the HNSW graph; `unfinished`: builds that were begun; `advice`: what to run, or None.
    """
    row = connection.execute(sql("index_facts"), {"encoder": encoder.id}).fetchone()
    assert row is not None
    kind = "exact" if encoder.exact is not None else "hnsw" if encoder.hnsw else "none"
    advice = None
    if kind == "none" and codes >= row["index_from"]:
        advice = "searches compare with every code; an index is faster: radretrieval index build"
    elif kind == "exact" and codes > GROWN * max(row["built_of"], row["index_from"]):
        advice = f"the index was built of {row['built_of']} codes; build it anew: radretrieval index build"
    elif kind == "hnsw" and row["recall"] is None:
        advice = "searches are approximate, and nobody knows how much: radretrieval index audit"
    shown = {name: row[name] for name in ("built_of", "live_at", "recall", "recall_worst", "measured_at", "unfinished")}
    return {"kind": kind, **shown, "advice": advice}


def drop(database: Database, encoder: Encoder) -> None:
    """Remove the exact index of an encoder's codes; searches compare with every code again."""
    with _builder(database, encoder) as connection:
        connection.execute(sql("exact_forget"), {"encoder": encoder.id, "live": True})
        _remove_leftovers(connection, encoder)


@contextmanager
def _builder(database: Database, encoder: Encoder) -> Iterator[Connection]:
    """A connection (autocommit) of the one builder of this encoder's index: a lock that ends with the connection."""
    with connections.translated(database.url), connections.connect(database.url, autocommit=True) as connection:
        row = connection.execute(sql("exact_turn"), {"encoder": encoder.id}).fetchone()
        if row is None or not row["mine"]:
            raise UsageError(
                f"the index of encoder {encoder.id} is being built by another process; wait for it, or end that process"
            )
        yield connection


def _count(connection: Connection, encoder: Encoder) -> int:
    row = connection.execute(sql("partition_rows").replace("{partition}", partition(encoder.id))).fetchone()
    assert row is not None
    return int(row["rows"])


def _sample(connection: Connection, encoder: Encoder, codes: int, anchors: int | None) -> NDArray[np.uint8]:
    """Some codes, from all over the table; the same ones while it does not change."""
    wanted = SAMPLE * (anchors or anchors_for(codes))
    statement = sql("exact_sample").replace("{partition}", partition(encoder.id))
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(statement, {"percent": min(100.0, 110 * wanted / codes), "most": wanted}).fetchall()
    return _matrix([row["code"] for row in rows])


def _matrix(codes: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)


def _filled(statement: str, encoder: Encoder, index_id: int) -> str:
    """A statement with its tables' names in it."""
    statement = statement.replace("{partition}", partition(encoder.id)).replace("{exact}", exact_table(index_id))
    return statement.replace("{index}", str(index_id))


def _begin(connection: Connection, encoder: Encoder, chosen: Anchors) -> int:
    """A new index with its anchors; from here on writers note what they change."""
    with connection.transaction():
        row = connection.execute(sql("exact_new"), {"encoder": encoder.id}).fetchone()
        assert row is not None
        index_id = int(row["id"])
        connection.execute(_filled(sql("exact_table"), encoder, index_id))
        connection.execute(_filled(sql("exact_stage"), encoder, index_id))
        for granted in connection.execute(sql("exact_readers")).fetchall():  # who may read the codes may search them
            connection.execute(_filled(sql("exact_grant"), encoder, index_id).replace("{role}", granted["role"]))
        number = np.arange(len(chosen.codes))
        columns = [(np.full(len(number), index_id), ">i4"), (number, ">i4"), (np.full(len(number), 1000), ">i4")]
        columns += [(np.zeros(len(number)), ">i4")] * 2
        names = "exact_anchor (index_id, anchor, nearest, farthest, codes, code)"
        copy_rows(connection, names, columns, chosen.codes, chosen.codes.shape[1] * 8)
    _writers_waited_for(connection, encoder)
    return index_id


def _writers_waited_for(connection: Connection, encoder: Encoder) -> None:
    """Return when every transaction has ended that wrote before the index was there to be noted for."""
    _locked(connection, encoder, lambda: None)


def _locked(connection: Connection, encoder: Encoder, action: Callable[[], None]) -> None:
    """Do something while nobody writes codes or labels; who holds us up is let through, again and again."""
    from psycopg.errors import DeadlockDetected, LockNotAvailable

    pause = 0.05
    while True:
        if pause == LONGEST_PAUSE:
            log.warning("waiting for transactions that write images or codes of encoder %d to end", encoder.id)
        try:
            with connection.transaction():
                connection.execute(sql("claim_patience"), {"milliseconds": "2000"})
                connection.execute(sql("exact_lock").replace("{partition}", partition(encoder.id)))
                action()
            return
        except (LockNotAvailable, DeadlockDetected):
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _batches(connection: Connection, encoder: Encoder) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Ids and codes, by id. Each batch is a statement of its own: what changes meanwhile is noted."""
    after = 0
    statement = sql("exact_codes_after").replace("{partition}", partition(encoder.id))
    while True:
        with connection.cursor(binary=True) as cursor:
            rows = cursor.execute(statement, {"encoder": encoder.id, "after": after, "limit": BATCH}).fetchall()
        if not rows:
            return
        ids = np.array([row["image_id"] for row in rows], np.int64)
        yield ids, _matrix([row["code"] for row in rows])
        after = int(ids[-1])


def _fill(
    connection: Connection, encoder: Encoder, index_id: int, chosen: Anchors, advance: Callable[[int], None]
) -> None:
    """All codes into the index, in the order of their keys, so that what is near lies together on disk."""
    for ids, codes in _batches(connection, encoder):
        anchor, _ = chosen.assign(codes)
        with connection.transaction():
            connection.execute(sql("exact_facets"), {"ids": ids.tolist()})
            copy_rows(connection, f"{exact_table(index_id)}_stage (image_id, anchor)", [(ids, ">i8"), (anchor, ">i4")])
        advance(len(ids))
    with connection.transaction():
        connection.execute(sql("exact_memory"), {"memory": "256MB"})
        connection.execute(_filled(sql("exact_analyze_stage"), encoder, index_id))
        for statement in (
            *(sql("exact_fill"), sql("exact_stage_off"), sql("exact_bounds"), sql("exact_cells")),
            *(sql("exact_index_key"), sql("exact_index_image"), sql("exact_index_facet")),
        ):
            connection.execute(_filled(statement, encoder, index_id))
    for statement in (sql("exact_vacuum"), sql("exact_vacuum_parts")):
        connection.execute(_filled(statement, encoder, index_id))


def _again(connection: Connection, encoder: Encoder, index_id: int, chosen: Anchors, most: int) -> int:
    """Look again at up to `most` images that changed; how many there were."""
    with connection.transaction():
        touched = connection.execute(_filled(sql("exact_touched"), encoder, index_id), {"most": most}).fetchall()
        ids = [row["image_id"] for row in touched]
        if ids:
            connection.execute(_filled(sql("exact_take"), encoder, index_id), {"ids": ids})
            with connection.cursor(binary=True) as cursor:
                statement = _filled(sql("exact_codes_of"), encoder, index_id)
                rows = cursor.execute(statement, {"encoder": encoder.id, "ids": ids}).fetchall()
            if rows:
                anchor, _ = chosen.assign(_matrix([row["code"] for row in rows]))
                values = {"ids": [row["image_id"] for row in rows], "anchors": anchor.tolist()}
                connection.execute(_filled(sql("exact_put"), encoder, index_id), values)
    return len(ids)


def _switch(connection: Connection, encoder: Encoder, index_id: int, chosen: Anchors) -> None:
    """In one transaction: the last changes, and searches and writers go over to the new index."""

    def action() -> None:
        while _again(connection, encoder, index_id, chosen, BATCH):
            pass
        connection.execute(sql("exact_forget"), {"encoder": encoder.id, "live": True})
        connection.execute(sql("exact_live"), {"index": index_id})

    _locked(connection, encoder, action)


def _remove_leftovers(connection: Connection, encoder: Encoder) -> None:
    """Remove what no search can use: indexes that were not finished, and tables of indexes that are gone.

    A search that began before the switch may still read the table of the old index: it is waited for; a longer one
    leaves the table to the next build.
    """
    connection.execute(sql("exact_forget"), {"encoder": encoder.id, "live": False})
    orphans = connection.execute(sql("exact_orphans")).fetchall()
    started = told = time.monotonic()
    while orphans and connection.execute(sql("exact_readers_left"), {"xid": orphans[0]["now"]}).fetchone():
        if time.monotonic() > started + PATIENCE_SECONDS:
            return
        if told == started and time.monotonic() > started + LONGEST_PAUSE:
            told = time.monotonic()
            log.warning("waiting %.0f s at most for transactions that may read the old index to end", PATIENCE_SECONDS)
        time.sleep(0.05)
    for row in orphans:
        connection.execute(sql("exact_table_off").replace("{table}", row["name"]))

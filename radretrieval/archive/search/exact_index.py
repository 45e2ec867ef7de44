"""The exact index of an encoder's codes: built in the background and switched to in one transaction.

Searches by it are in SQL (archive/sql/functions/exact_ball.sql), and triggers keep it true to the codes
(exact_cnnc_changed.sql, exact_image_changed.sql). While one is built, another answers searches, and triggers record the
images that writers change; their rows are written again before the switch. The next build removes what a killed one
left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import connections, encoders, locks
from radretrieval.archive.bulk_copy import copy_rows
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.queries import sql
from radretrieval.archive.schema import objects
from radretrieval.archive.schema.names import exact_table, partition
from radretrieval.coding.anchors import Anchors, choose
from radretrieval.errors import UsageError
from radretrieval.logs import Log

log = Log(__name__)

SAMPLE = 16  # codes for each anchor, from which the anchors are chosen
BATCH = 20_000  # codes that are read and assigned at a time
FEW = 500  # changed images that may be left to the switch, during which writers wait
GROWN = 2  # an index of more than so many times the codes it was built of is slower than a new one: index_growth.py
READER_SECONDS = 60.0  # for transactions that may still read a replaced index


@dataclass(frozen=True)
class BuiltIndex:
    """The result of `build`."""

    index_id: int
    codes: int
    anchors: int


def anchors_for(codes: int) -> int:
    """The best number of anchors for so many codes: the power of two nearest to eight square roots, 16 to 32768.

    More anchors leave fewer codes to compare, but each costs a descent in the B-tree.
    """
    wanted: int = 2 ** round(np.log2(max(codes, 1)) / 2 + 3)
    return min(max(wanted, 16), 32_768)


def build(
    database: Database, encoder: Encoder, anchors: int | None = None, advance: Callable[[int], None] | None = None
) -> BuiltIndex:
    """Build the exact index of an encoder's codes and switch to it.

    Meanwhile searches use the index before; writers wait during the switch only.

    Parameters
    ----------
    anchors : how many; None for `anchors_for` the number of codes.
    advance : called with the number of codes that were assigned.

    Raises
    ------
    UsageError : the encoder has no codes; its index is being built by another process.
    """
    with _builder(database, encoder) as connection:
        _require_triggers(database, connection, encoder)
        _remove_leftovers(connection, encoder)
        codes = _count(connection, encoder)
        if codes == 0:
            raise UsageError(f"encoder {encoder.id} has no codes to index; run: radretrieval work --once")
        chosen = choose(_sample(connection, encoder, codes, anchors), anchors or anchors_for(codes))
        index_id = _create(connection, encoder, chosen)
        chosen = Anchors.of(chosen.codes)  # the same, in groups by which codes are assigned faster
        _fill(connection, encoder, index_id, chosen, advance or (lambda count: None))
        while _write_changed(connection, encoder, index_id, chosen, BATCH) > FEW:
            pass
        _switch(connection, encoder, index_id, chosen)
        _remove_leftovers(connection, encoder)
        return BuiltIndex(index_id, _count(connection, encoder), len(chosen.codes))


def facts(connection: Connection, encoder: Encoder, codes: int) -> dict[str, Any]:
    """The index that searches of an encoder with so many codes use.

    `kind` is exact, hnsw or none; `built_of`, `live_at`: of the exact index; `recall`, `recall_worst`, `measured_at`:
    the last measurement of the HNSW index; `unfinished`: builds that were begun; `advice`: what to run, or None.
    """
    row = connection.execute(sql("index_facts"), {"encoder": encoder.id}).fetchone()
    assert row is not None
    kind = "exact" if encoder.exact is not None else "hnsw" if encoder.hnsw else "none"
    advice = None
    if encoder.bypassed:
        advice = encoder.bypass_message
    elif kind == "none" and codes >= row["index_from"]:
        advice = "searches compare with every code; an index is faster: radretrieval index build"
    elif kind == "exact" and codes > GROWN * max(row["built_of"], row["index_from"]):
        advice = f"the index was built of {row['built_of']} codes; build it anew: radretrieval index build"
    elif kind == "hnsw" and row["recall"] is None:
        advice = "searches are approximate, and their recall was never measured: radretrieval index audit"
    shown = {name: row[name] for name in ("built_of", "live_at", "recall", "recall_worst", "measured_at", "unfinished")}
    return {"kind": kind, **shown, "advice": advice}


def drop(database: Database, encoder: Encoder) -> None:
    """Remove the exact index of an encoder's codes; searches then compare with every code."""
    with dropped(database, encoder):
        pass


@contextmanager
def dropped(database: Database, encoder: Encoder) -> Iterator[Connection]:
    """A connection (autocommit) that has done what `drop` does; nobody builds an index of the encoder until it ends."""
    with _builder(database, encoder) as connection:
        connection.execute(sql("exact_forget"), {"encoder": encoder.id, "live": True})
        _remove_leftovers(connection, encoder)
        yield connection


@contextmanager
def _builder(database: Database, encoder: Encoder) -> Iterator[Connection]:
    """A connection (autocommit) that holds the session-level advisory lock on building this encoder's index.

    A session whose role could build none does not count, whatever lock it has.
    """
    url, values = database.session_url, {"encoder": encoder.id}
    with connections.database_errors(url), connections.connect(url, session=True, autocommit=True) as connection:
        row = connection.execute(sql("exact_turn"), values).fetchone()
        if row is None or not row["mine"]:
            raise UsageError(
                f"the index of encoder {encoder.id} is being built by another process; wait for it, or end that "
                f"process: {locks.advisory_holder(connection, (726632015 << 32) + encoder.id)}"
            )
        yield connection


def _require_triggers(database: Database, connection: Connection, encoder: Encoder) -> None:
    """Create the triggers of a partition that was attached by hand; raises SchemaOutdated where others are off."""
    followed, values = sql("exact_followed"), {"encoder": encoder.id}
    if not connection.execute(followed, values).fetchone()["followed"]:  # type: ignore[index]
        create = sql("encoder_triggers").replace("{partition}", partition(encoder.id))

        def again() -> None:
            connection.execute(sql("exact_distrust"))  # while they were off, the index in use may have missed changes
            connection.execute(create)

        _while_locked(connection, encoder, again)
    if not connection.execute(followed, values).fetchone()["followed"]:  # type: ignore[index]
        objects.check(database)


def _count(connection: Connection, encoder: Encoder) -> int:
    row = connection.execute(sql("partition_rows").replace("{partition}", partition(encoder.id))).fetchone()
    assert row is not None
    return int(row["rows"])


def _sample(connection: Connection, encoder: Encoder, codes: int, anchors: int | None) -> NDArray[np.uint8]:
    """A repeatable sample of the codes, from the whole table."""
    wanted = SAMPLE * (anchors or anchors_for(codes))
    statement = sql("exact_sample").replace("{partition}", partition(encoder.id))
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(statement, {"percent": min(100.0, 110 * wanted / codes), "most": wanted}).fetchall()
    return _matrix([row["code"] for row in rows])


def _matrix(codes: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1)


def _with_names(statement: str, encoder: Encoder, index_id: int) -> str:
    """A statement with the names of partition and index inserted."""
    statement = statement.replace("{partition}", partition(encoder.id)).replace("{exact}", exact_table(index_id))
    return statement.replace("{index}", str(index_id))


def _create(connection: Connection, encoder: Encoder, chosen: Anchors) -> int:
    """Create an index with its anchors; triggers record changes from its commit on."""
    with connection.transaction():
        row = connection.execute(sql("exact_new"), {"encoder": encoder.id}).fetchone()
        assert row is not None
        index_id = int(row["id"])
        with encoders.owning(connection):
            connection.execute(_with_names(sql("exact_table"), encoder, index_id))
            connection.execute(_with_names(sql("exact_stage"), encoder, index_id))
            encoders.grant(connection, exact_table(index_id), ("SELECT",))  # to roles that may read the codes
        number = np.arange(len(chosen.codes))
        columns = [(np.full(len(number), index_id), ">i4"), (number, ">i4"), (np.full(len(number), 1000), ">i4")]
        columns += [(np.zeros(len(number)), ">i4")] * 2
        names = "exact_anchor (index_id, anchor, nearest, farthest, codes, code)"
        copy_rows(connection, names, columns, chosen.codes, chosen.codes.shape[1] * 8)
        first = np.array([group[0] for group in chosen.groups])
        last = np.array([group[-1] for group in chosen.groups])
        columns = [(np.full(len(first), index_id), ">i4"), (first, ">i4"), (last, ">i4")]
        columns += [(np.zeros(len(first)), ">i4")] * 2
        names = "exact_group (index_id, first, last, reach, codes, code)"
        copy_rows(connection, names, columns, chosen.centres, chosen.centres.shape[1] * 8)
    _while_locked(connection, encoder, lambda: None)  # waits for transactions whose changes were not recorded
    return index_id


def _while_locked(connection: Connection, encoder: Encoder, action: Callable[[], object]) -> None:
    """Run `action` in a transaction that locks the tables of codes and labels against writers."""

    def locked() -> None:
        connection.execute(sql("exact_lock").replace("{partition}", partition(encoder.id)))
        action()

    locks.while_locked(connection, ["image", partition(encoder.id)], locked)


def _batches(connection: Connection, encoder: Encoder) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Ids and codes by id, each batch by its own statement; triggers record what changes meanwhile."""
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
    """Write all codes into the index in the order of their keys, so that near codes share pages."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as threads:  # numpy compares without the interpreter's lock
        for ids, codes in _batches(connection, encoder):
            assigned = threads.map(chosen.assign, np.array_split(codes, cores))
            anchor = np.concatenate([part for part, _ in assigned])
            with connection.transaction():
                connection.execute(sql("exact_facets"), {"ids": ids.tolist()})
                stage = f"{exact_table(index_id)}_stage (image_id, anchor)"
                copy_rows(connection, stage, [(ids, ">i8"), (anchor, ">i4")])
            advance(len(ids))
    with connection.transaction():
        connection.execute(sql("exact_memory"), {"memory": "256MB"})
        connection.execute(_with_names(sql("exact_analyze_stage"), encoder, index_id))
        for statement in (
            *(sql("exact_fill"), sql("exact_stage_off"), sql("exact_bounds"), sql("exact_groups")),
            sql("exact_cells"),
            *(sql("exact_index_key"), sql("exact_index_image"), sql("exact_index_facet")),
        ):
            connection.execute(_with_names(statement, encoder, index_id))
        with encoders.owning(connection):
            connection.execute(_with_names(sql("exact_search"), encoder, index_id))
    for statement in (sql("exact_vacuum"), sql("exact_vacuum_parts")):
        connection.execute(_with_names(statement, encoder, index_id))


def _write_changed(connection: Connection, encoder: Encoder, index_id: int, chosen: Anchors, most: int) -> int:
    """Write the rows of up to `most` changed images again; returns how many there were."""
    with connection.transaction():
        touched = connection.execute(_with_names(sql("exact_touched"), encoder, index_id), {"most": most}).fetchall()
        ids = [row["image_id"] for row in touched]
        if ids:
            connection.execute(_with_names(sql("exact_take"), encoder, index_id), {"ids": ids})
            with connection.cursor(binary=True) as cursor:
                statement = _with_names(sql("exact_codes_of"), encoder, index_id)
                rows = cursor.execute(statement, {"encoder": encoder.id, "ids": ids}).fetchall()
            if rows:
                anchor, _ = chosen.assign(_matrix([row["code"] for row in rows]))
                values = {"ids": [row["image_id"] for row in rows], "anchors": anchor.tolist()}
                connection.execute(_with_names(sql("exact_put"), encoder, index_id), values)
    return len(ids)


def _switch(connection: Connection, encoder: Encoder, index_id: int, chosen: Anchors) -> None:
    """Write the last changes and make the index the one in use, in one transaction."""

    def action() -> None:
        while _write_changed(connection, encoder, index_id, chosen, BATCH):
            pass
        connection.execute(sql("exact_forget"), {"encoder": encoder.id, "live": True})
        connection.execute(sql("exact_live"), {"index": index_id})

    _while_locked(connection, encoder, action)


def _remove_leftovers(connection: Connection, encoder: Encoder) -> None:
    """Remove unfinished indexes, and tables of indexes that were replaced.

    Waits `READER_SECONDS` at most for transactions that may read such a table; otherwise the next build removes it.
    """
    from psycopg.errors import LockNotAvailable

    connection.execute(sql("exact_forget"), {"encoder": encoder.id, "live": False})
    orphans = connection.execute(sql("exact_orphans")).fetchall()
    started = warned = time.monotonic()
    while orphans and (left := connection.execute(sql("exact_readers_left"), {"xid": orphans[0]["now"]}).fetchall()):
        if time.monotonic() > started + READER_SECONDS:
            return
        if warned == started and time.monotonic() > started + locks.SECONDS:
            warned = time.monotonic()
            has = locks.shown(connection, [row["pid"] for row in left])
            log.warning(
                "waiting_for_lock",
                "waiting %(seconds).0f s at most for transactions that may read the old index: %(sessions)s",
                seconds=READER_SECONDS,
                sessions=has,
            )
        time.sleep(0.05)
    for row in orphans:
        off = sql("exact_off").replace("{table}", row["name"]).replace("{search}", row["search"])
        most = started + READER_SECONDS - time.monotonic()
        try:  # a transaction that is idle has no snapshot, but keeps its locks
            locks.while_locked(connection, [row["name"]], partial(connection.execute, off), readers=True, most=most)
        except LockNotAvailable:
            return

"""Codes and barcodes: claimed, written, read back.

Pending work is a query, not a queue: images without a code of the encoder. A claim locks their rows (FOR UPDATE SKIP
LOCKED) until the worker's transaction ends; a killed worker loses its transaction and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.bulk_copy import copy_codes
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.archive.search.anchor_hints import AnchorHints


@dataclass(frozen=True)
class Pending:
    """An image that this transaction has locked until it is coded."""

    image_id: int
    uri: str
    sha256: bytes
    barcoded: bool


@dataclass(frozen=True)
class CodeSet:
    """Codes of many images, by id.

    Attributes
    ----------
    image_ids : int64 (n,), ascending.
    cnnc : uint8 (n, 125). rbc : uint8 (n, bytes of the geometry).
    irma_codes, uris, sha256 : n each; an image without a label has None.
    """

    image_ids: NDArray[np.int64]
    cnnc: NDArray[np.uint8]
    rbc: NDArray[np.uint8]
    irma_codes: list[str | None]
    uris: list[str]
    sha256: list[bytes]

    @property
    def labels(self) -> list[str]:
        """The IRMA codes, empty where there is none."""
        return [code or "" for code in self.irma_codes]


def known_geometry(connection: Connection, size: int, angles: int, bins: int, rule: str) -> int | None:
    """The id of a barcode geometry, None if no barcode has it."""
    values = {"size": size, "angles": angles, "bins": bins, "rule": rule}
    row = connection.execute(sql("geometry"), values).fetchone()
    return None if row is None else int(row["id"])


def geometry_id(connection: Connection, size: int, angles: int, bins: int, rule: str) -> int:
    """The id of a barcode geometry, made if it is new."""
    found = known_geometry(connection, size, angles, bins, rule)
    if found is None:
        connection.execute(sql("geometry_add"), {"size": size, "angles": angles, "bins": bins, "rule": rule})
        found = known_geometry(connection, size, angles, bins, rule)
    assert found is not None
    return found


def now(connection: Connection) -> datetime:
    """The database's clock, by which failures are stamped."""
    row = connection.execute(sql("now")).fetchone()
    assert row is not None
    moment: datetime = row["now"]
    return moment


def listen(connection: Connection) -> None:
    """LISTEN, on an autocommit connection, for notifications of new pending images."""
    connection.execute(sql("listen"))


def set_lock_timeout(connection: Connection, seconds: float | None) -> None:
    """Set lock_timeout for this transaction; None for no limit."""
    connection.execute(sql("lock_timeout"), {"milliseconds": str(round((seconds or 0) * 1000))})


def claim(
    connection: Connection,
    encoder_id: int,
    geometry: int,
    *,
    after: int,
    limit: int,
    since: datetime,
    again: bool = False,
) -> tuple[list[Pending], int]:
    """Lock up to `limit` images with an id above `after` that have no code of this encoder.

    An image that failed after `since` is left out: always, or with `again` until its delay (doubling from two minutes
    to a day) is over. Returns the images and the largest id that was considered (`after` itself when there is none).
    """
    values: dict[str, Any] = {"encoder": encoder_id, "after": after, "limit": limit, "since": since, "again": again}
    rows = connection.execute(sql("claim"), values).fetchall()
    if not rows:
        return [], after
    ids = [row["id"] for row in rows]
    # another worker may have coded some of them between the snapshot and the locks: check again under the locks
    done = _ids(connection, sql("claim_done"), {"encoder": encoder_id, "ids": ids})
    barcoded = _ids(connection, sql("claim_barcoded"), {"geometry": geometry, "ids": ids})
    pending = [
        Pending(row["id"], row["uri"], bytes(row["sha256"]), row["id"] in barcoded)
        for row in rows
        if row["id"] not in done
    ]
    return pending, ids[-1]


def _ids(connection: Connection, statement: str, values: dict[str, Any]) -> set[int]:
    return {row["image_id"] for row in connection.execute(statement, values)}


def forget(connection: Connection, image_id: int) -> None:
    """Delete an image's codes and barcodes, and what was found with them: it waits to be encoded again."""
    connection.execute(sql("codes_forget"), {"id": image_id})


def write_cnnc(
    connection: Connection,
    encoder_id: int,
    ids: Sequence[int],
    codes: NDArray[np.uint8],
    bits: int,
    hints: AnchorHints | None = None,
) -> None:
    """Store codes, uint8 (n, bits / 8), and delete the failures of their images.

    `hints` tells the triggers of the exact index the nearest anchors, which saves them the search.
    """
    images = np.asarray(ids, np.int64)
    parts = [slice(None)] if hints is None else hints.parts(connection, encoder_id, images, codes)
    for part in parts:
        copy_codes(connection, "cnnc", encoder_id, images[part], codes[part], bits)
    connection.execute(sql("coding_failure_forget"), {"encoder": encoder_id, "ids": list(ids)})


def write_barcodes(connection: Connection, geometry: int, ids: Sequence[int], barcodes: NDArray[np.uint8]) -> None:
    """Store barcodes, uint8 (n, bytes)."""
    copy_codes(connection, "barcode", geometry, np.asarray(ids, np.int64), barcodes)


def keep_failure(connection: Connection, encoder_id: int, image_id: int, error: str, message: str) -> None:
    """Record why an image could not be coded."""
    values = {"encoder": encoder_id, "image": image_id, "error": error, "message": message}
    connection.execute(sql("coding_failure_keep"), values)


def pending_count(connection: Connection, encoder_id: int) -> int:
    """How many images have no code of this encoder."""
    row = connection.execute(sql("pending_count"), {"encoder": encoder_id}).fetchone()
    assert row is not None
    return int(row["count"])


def count(connection: Connection, encoder_id: int) -> int:
    """How many images have a code of this encoder."""
    row = connection.execute(sql("encoder_codes"), {"id": encoder_id}).fetchone()
    assert row is not None
    return int(row["rows"])


def newest(connection: Connection, encoder_id: int) -> int | None:
    """The id of the newest image that has a code of this encoder."""
    row = connection.execute(sql("code_newest"), {"encoder": encoder_id}).fetchone()
    return None if row is None else row["image_id"]


def of_splits(
    connection: Connection,
    encoder_id: int,
    geometry: int,
    splits: Sequence[str] | None,
    *,
    labelled_only: bool = False,
    withdrawn_too: bool = True,
) -> CodeSet:
    """Codes of the images of these splits (None: of the whole archive) that have both code and barcode.

    Parameters
    ----------
    labelled_only : leave out images without an IRMA code. withdrawn_too : include images with a withdrawn label.
    """
    values = {
        "encoder": encoder_id,
        "geometry": geometry,
        "splits": None if splits is None else list(splits),
        "labelled": labelled_only,
        "withdrawn": withdrawn_too,
    }
    with connection.cursor(binary=True) as cursor:
        rows = [row for row in cursor.execute(sql("codes_of_split"), values) if row["barcode"] is not None]

    def matrix(name: str) -> NDArray[np.uint8]:
        joined = np.frombuffer(b"".join(row[name] for row in rows), np.uint8)
        return joined.reshape(len(rows), -1) if rows else joined.reshape(0, 0)

    return CodeSet(
        image_ids=np.array([row["image_id"] for row in rows], np.int64),
        cnnc=matrix("code"),
        rbc=matrix("barcode"),
        irma_codes=[row["irma_code"] for row in rows],
        uris=[row["uri"] for row in rows],
        sha256=[bytes(row["sha256"]) for row in rows],
    )

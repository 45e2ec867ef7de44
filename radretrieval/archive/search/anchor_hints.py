"""Hints for the triggers of the exact index: the nearest anchor of each code that a transaction is about to write.

A writer finds the nearest anchor faster than the trigger does. A wrong hint costs speed only: the trigger computes the
distance to the anchor itself, and the index is correct with any anchor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.coding.anchors import Anchors


class AnchorHints:
    """The anchors of one encoder's exact index, read again when the index is replaced."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._anchors: Anchors | None = None

    def send(self, connection: Connection, encoder_id: int, ids: Sequence[int], codes: NDArray[np.uint8]) -> None:
        """Set the hints of this transaction for codes, uint8 (n, bytes), that it is about to write."""
        row = connection.execute(sql("exact_of"), {"encoder": encoder_id}).fetchone()
        if row is None:
            return
        if row["id"] != self._index or self._anchors is None:
            with connection.cursor(binary=True) as cursor:
                rows = cursor.execute(sql("exact_anchor_codes"), {"index": row["id"]}).fetchall()
            joined = np.frombuffer(b"".join(anchor["code"] for anchor in rows), np.uint8)
            self._index, self._anchors = row["id"], Anchors.of(joined.reshape(len(rows), -1))
        anchors, _ = self._anchors.assign(codes)
        hints = " ".join([str(row["id"]), _array(ids), _array(anchors.tolist())])
        connection.execute(sql("exact_say"), {"said": hints})


def _array(numbers: Sequence[int]) -> str:
    """A PostgreSQL array literal without blanks."""
    return "{" + ",".join(map(str, numbers)) + "}"

"""Anchors as a writer of codes knows them: it tells the triggers which one is near, which spares the database work.

What it tells need not be true: the distance to the anchor is measured by the trigger, and any anchor will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.queries import sql
from radretrieval.coding.anchors import Anchors

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


class AnchorHints:
    """The anchors of the exact index that one encoder has, read again whenever it has another."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._anchors: Anchors | None = None

    def send(self, connection: Connection, encoder_id: int, ids: Sequence[int], codes: NDArray[np.uint8]) -> None:
        """Tell this transaction's triggers the anchors of codes, uint8 (n, bytes), that it is about to write."""
        row = connection.execute(sql("exact_of"), {"encoder": encoder_id}).fetchone()
        if row is None:
            return
        if row["id"] != self._index or self._anchors is None:
            with connection.cursor(binary=True) as cursor:
                rows = cursor.execute(sql("exact_anchor_codes"), {"index": row["id"]}).fetchall()
            joined = np.frombuffer(b"".join(anchor["code"] for anchor in rows), np.uint8)
            self._index, self._anchors = row["id"], Anchors.of(joined.reshape(len(rows), -1))
        anchors, _ = self._anchors.assign(codes)
        said = " ".join([str(row["id"]), _array(ids), _array(anchors.tolist())])
        connection.execute(sql("exact_say"), {"said": said})


def _array(numbers: Sequence[int]) -> str:
    """As PostgreSQL writes an array, without blanks."""
    return "{" + ",".join(map(str, numbers)) + "}"

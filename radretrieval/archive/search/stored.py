"""Images of the archive as queries and hits: their codes, identity and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import images
from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql
from radretrieval.storage.source import SourceFile

PAGE = 4096  # ids that are read at a time


@dataclass(frozen=True)
class StoredQuery:
    """An image of the archive as a query; code and barcode are None unless it has both.

    flat : its pixels show nothing; None where nobody looked.
    """

    image_id: int
    uri: str
    sha256: bytes
    patient_key: str | None
    irma_code: str | None
    flat: bool | None
    cnnc: NDArray[np.uint8] | None
    rbc: NDArray[np.uint8] | None


@dataclass(frozen=True)
class HitFacts:
    """What an answer tells of the image of a hit: columns of `image`, None where nobody told."""

    uri: str
    sha256: bytes
    irma_code: str | None
    patient_key: str | None
    study_instance_uid: str | None
    study_date: date | None
    modality: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None

    @property
    def file(self) -> SourceFile:
        """Its file."""
        return SourceFile(self.uri, self.sha256)

    @classmethod
    def of(cls, row: dict[str, Any]) -> HitFacts:
        """Those of a row that has these columns, among others."""
        return cls(*map(row.__getitem__, _COLUMNS))


_COLUMNS = [column.name for column in fields(HitFacts)]


def by_ids(connection: Connection, encoder_id: int, geometry: int, ids: Sequence[int]) -> dict[int, StoredQuery]:
    """The images with these ids that the archive has, by id; an id may be any integer."""
    legal = [image_id for image_id in ids if 0 <= image_id < 2**63]
    return {image.image_id: image for image in _stored(connection, encoder_id, geometry, "id", legal)}


def by_contents(
    connection: Connection, encoder_id: int, geometry: int, hashes: Sequence[bytes]
) -> dict[bytes, StoredQuery]:
    """The images with these contents that the archive has, by SHA-256; of a file with several frames the first."""
    return {image.sha256: image for image in _stored(connection, encoder_id, geometry, "sha256", hashes)}


def same_film(
    connection: Connection, encoder_id: int, geometry: int, uid: str | None, pixels: bytes | None
) -> StoredQuery | None:
    """The image with this SOP Instance UID and hash of its pixels, whatever the bytes of its file; None without one."""
    if uid is not None and pixels is not None:
        for row in images.by_sop_instance(connection, [uid]):
            if row["pixels_sha256"] == pixels and row["frame"] == 1:
                return by_ids(connection, encoder_id, geometry, [row["id"]]).get(row["id"])
    return None


def _stored(
    connection: Connection, encoder_id: int, geometry: int, column: str, values: Sequence[int | bytes]
) -> list[StoredQuery]:
    one = len(values) == 1
    statement = (
        sql("stored").replace("{column}", column).replace("{values}", "%(values)s" if one else "ANY(%(values)s)")
    )
    given = {"encoder": encoder_id, "geometry": geometry, "values": values[0] if one else list(values)}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(statement, given).fetchall()
    found = []
    for row in rows:
        both = row["code"] is not None and row["barcode"] is not None
        cnnc, rbc = (np.frombuffer(row[name], np.uint8) if both else None for name in ("code", "barcode"))
        columns = row["id"], row["uri"], bytes(row["sha256"]), row["patient_key"], row["irma_code"], row["flat"]
        found.append(StoredQuery(*columns, cnnc, rbc))
    return found


def coded_ids(connection: Connection, encoder_id: int) -> Iterator[int]:
    """The ids of all images that have a code of this encoder, ascending, read page by page."""
    after = -1
    while True:
        rows = connection.execute(sql("coded_ids"), {"encoder": encoder_id, "after": after, "limit": PAGE}).fetchall()
        if not rows:
            return
        yield from (row["image_id"] for row in rows)
        after = rows[-1]["image_id"]


def hit_facts(connection: Connection, ids: Sequence[int]) -> dict[int, HitFacts]:
    """The facts of these images, by id."""
    rows = connection.execute(sql("hit_facts"), {"ids": list(ids)})
    return {row["id"]: HitFacts.of(row) for row in rows}

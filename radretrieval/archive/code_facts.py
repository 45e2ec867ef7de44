"""What the codes of one encoder are like: counts, equal codes, samples, and all codes in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


@dataclass(frozen=True)
class Counts:
    """How many codes there are, of how many labelled images and IRMA codes."""

    codes: int
    labelled: int
    classes: int


@dataclass(frozen=True)
class Equal:
    """How many codes are distinct, and how many images share theirs with another image."""

    distinct: int
    sharing: int


@dataclass(frozen=True)
class Member:
    """Images of one IRMA code that have the same code: how many, and the ids of the first few."""

    irma_code: str
    images: int
    image_ids: list[int]


@dataclass(frozen=True)
class Collision:
    """A code that images of different IRMA codes share; most images first."""

    images: int
    classes: int
    members: list[Member]


@dataclass(frozen=True)
class Sample:
    """Some codes. cnnc : uint8 (n, bytes). irma_codes : n, None for an image without a label."""

    cnnc: NDArray[np.uint8]
    irma_codes: list[str | None]


def counts(connection: Connection, encoder_id: int) -> Counts:
    """Codes of an encoder, labelled images among theirs, and different labels."""
    row = connection.execute(sql("code_counts"), {"encoder": encoder_id}).fetchone()
    assert row is not None
    return Counts(**row)


def equal(connection: Connection, encoder_id: int) -> Equal:
    """Distinct codes of an encoder, and images that share their code."""
    row = connection.execute(sql("code_equal"), {"encoder": encoder_id}).fetchone()
    assert row is not None
    return Equal(**row)


def collisions(connection: Connection, encoder_id: int, most: int, image_ids: int) -> tuple[int, int, list[Collision]]:
    """Codes that labelled images of different IRMA codes share.

    Parameters
    ----------
    most : how many of them are returned: those of most classes, then of most images.
    image_ids : how many ids are returned of each class.

    Returns
    -------
    How many codes and how many labelled images it concerns, and the worst codes.
    """
    values = {"encoder": encoder_id, "most": most, "image_ids": image_ids}
    rows = connection.execute(sql("code_collisions"), values).fetchall()
    if not rows:
        return 0, 0, []
    worst: dict[int, Collision] = {}
    for row in rows:
        found = worst.setdefault(row["place"], Collision(row["images"], row["classes"], []))
        found.members.append(Member(row["irma_code"], row["members"], row["image_ids"]))
    return rows[0]["all_codes"], rows[0]["all_images"], list(worst.values())


def sample(connection: Connection, encoder_id: int, most: int, *, labelled: bool) -> Sample:
    """Up to `most` codes, of labelled images only or of any; the same ones at every call, whatever the ids mean."""
    values = {"encoder": encoder_id, "most": most, "labelled": labelled}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(sql("code_sample"), values).fetchall()
    return Sample(_matrix(rows), [row["irma_code"] for row in rows])


def sample_ids(connection: Connection, encoder_id: int, most: int) -> list[int]:
    """Up to `most` images that have a code, the same at every call, whatever the ids mean."""
    rows = connection.execute(sql("map_sample"), {"encoder": encoder_id, "most": most}).fetchall()
    return [row["image_id"] for row in rows]


def batches(connection: Connection, encoder_id: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """All codes of an encoder, in no order, as uint8 (n, bytes) of at most `size` rows."""
    with connection.cursor("all_codes", binary=True) as cursor:  # named: the rows stay with the server
        cursor.execute(sql("code_all"), {"encoder": encoder_id})
        while rows := cursor.fetchmany(size):
            yield _matrix(rows)


def _matrix(rows: list[dict[str, Any]]) -> NDArray[np.uint8]:
    joined = np.frombuffer(b"".join(row["code"] for row in rows), np.uint8)
    return joined.reshape(len(rows), -1) if rows else joined.reshape(0, 0)

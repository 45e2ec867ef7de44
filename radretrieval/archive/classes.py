"""Classes of an archive and their images, and what the embedding map shows, for analysts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive.connections import Connection
from radretrieval.archive.queries import sql


def counts(connection: Connection, encoder_id: int | None) -> list[dict[str, Any]]:
    """Rows (irma_code, images, coded, withdrawn), largest class first; irma_code None for images without a label."""
    return connection.execute(sql("classes"), {"encoder": encoder_id}).fetchall()


def images(
    connection: Connection, irma_code: str | None, encoder_id: int | None, *, after: int, limit: int
) -> list[dict[str, Any]]:
    """Images of a class by id, those after an id: header, split, whether withdrawn and coded.

    Parameters
    ----------
    irma_code : None for images without a label.
    """
    condition = "i.irma_code IS NULL" if irma_code is None else "i.irma_code = %(code)s"
    values = {"code": irma_code, "encoder": encoder_id, "after": after, "limit": limit}
    return connection.execute(sql("class_images").replace("{condition}", condition), values).fetchall()


@dataclass(frozen=True)
class MapState:
    """What a map was made of: when its encoder was stored, how many codes there were, and the largest image id.

    hidden : how many images were withdrawn, and when that was last done.
    """

    encoder: str
    codes: int
    last: int
    hidden: str


def map_state(connection: Connection, encoder_id: int) -> MapState:
    """The state of an encoder's codes."""
    row = connection.execute(sql("map_state"), {"encoder": encoder_id}).fetchone()
    assert row is not None
    return MapState(**row)


def map_sample(connection: Connection, encoder_id: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Ids, ascending, and codes, uint8 (n, bytes), of at most so many images: the same ones at every call."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(sql("map_sample"), {"encoder": encoder_id, "most": most}).fetchall()
    ids = np.array([row["image_id"] for row in rows], np.int64)
    codes = np.frombuffer(b"".join(row["code"] for row in rows), np.uint8).reshape(len(rows), -1 if rows else 0)
    order = np.argsort(ids)
    return ids[order], codes[order]


def agreement(connection: Connection, encoder_id: int, ids: Sequence[int], k: int) -> dict[str, float]:
    """Of each class, the mean share of the k nearest (table `neighbour`) that are of the class, over these images.

    Classes are left out whose images have no rows there.
    """
    rows = connection.execute(sql("map_agreement"), {"encoder": encoder_id, "ids": list(ids), "k": k})
    return {row["irma_code"]: float(row["agreement"]) for row in rows}


def withdrawn(connection: Connection, ids: Sequence[int]) -> bool:
    """Whether one of these images is withdrawn from searches."""
    row = connection.execute(sql("images_hidden"), {"ids": list(ids)}).fetchone()
    return row is not None and bool(row["hidden"])


def map_facts(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Rows (id, irma_code, modality, body_part, view_position) of these images, by id."""
    return connection.execute(sql("map_facts"), {"ids": list(ids)}).fetchall()

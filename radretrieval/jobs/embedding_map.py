"""The embedding map: images of the archive as points of a plane, near where their codes are near.

It is computed once for an encoder and a state of its codes, and kept as a file in `RADRETRIEVAL_HOME`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radretrieval.archive import classes, connections, encoders
from radretrieval.archive.classes import MapState
from radretrieval.archive.connections import Database
from radretrieval.coding.projection import project
from radretrieval.config import Settings
from radretrieval.files.atomic import write_bytes
from radretrieval.logs import Log

log = Log(__name__)

MOST_IMAGES = 20_000
NEIGHBOURS = 10  # of an image, for the agreement of a class with them
GRID = 10_000  # coordinates are whole numbers, 0 to this: the larger extent takes all of it, the other is centred
_FORM = 2  # of the file


@dataclass(frozen=True)
class EmbeddingMap:
    """Images of an archive on the first two principal components of their codes.

    Attributes
    ----------
    encoder_id, encoder : whose codes; its id, and when it was stored. codes, last, hidden : the state they were in: how
        many, the largest image id, and what is withdrawn. A code written anew moves its point when that changes.
    image_ids : those shown, ascending. x, y : whole numbers, 0 to `GRID`.
    explained : the share of the variance of the bits that each axis has, 0 to 1.
    agreement : of each class whose neighbours are known (table `neighbour`), the mean share of the ten nearest that are
        of the class.
    """

    encoder_id: int
    encoder: str
    codes: int
    last: int
    hidden: str
    image_ids: list[int]
    x: list[int]
    y: list[int]
    explained: tuple[float, float]
    agreement: dict[str, float]


def embedding_map(database: Database, settings: Settings) -> EmbeddingMap:
    """The map of the active encoder's codes, from its file if the codes are as they were, else computed and kept.

    Raises
    ------
    NoEncoder : there is none that is active.
    """
    with database.connection() as connection:
        connections.snapshot(connection)
        encoder = encoders.get(connection)
        state = classes.map_state(connection, encoder.id)
        path = map_file(settings, encoder.weights_sha256)
        kept = _read(path)
        if kept is not None and MapState(kept.encoder, kept.codes, kept.last, kept.hidden) == state:
            return kept
        ids, codes = classes.map_sample(connection, encoder.id, MOST_IMAGES)
        shown = [int(one) for one in ids]
        agreement = classes.agreement(connection, encoder.id, shown, NEIGHBOURS)
    projected = project(codes, encoder.profile.network.code_bits)
    x, y = _grid(projected.points)
    made = EmbeddingMap(
        encoder.id, **asdict(state), image_ids=shown, x=x, y=y, explained=projected.explained, agreement=agreement
    )
    with suppress(OSError):  # a folder that cannot be written costs time, not the map
        write_bytes(path, json.dumps({"form": _FORM, **asdict(made)}).encode(), parents=True)
    return made


def map_file(settings: Settings, weights_sha256: bytes) -> Path:
    """The file of the map of an encoder with these weights."""
    return settings.home / "maps" / f"{weights_sha256.hex()}.json"


def drop_maps(settings: Settings) -> int:
    """Delete the files of all maps, which name images; returns how many. The next view makes its map anew."""
    files = list((settings.home / "maps").glob("*.json"))
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def _grid(points: Any) -> tuple[list[int], list[int]]:
    if len(points) == 0:
        return [], []
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max()) or 1.0
    whole = np.rint(((points - (low + high) / 2) / extent + 0.5) * GRID).astype(int)
    return whole[:, 0].tolist(), whole[:, 1].tolist()


def _read(path: Path) -> EmbeddingMap | None:
    """The map of a file; None where there is none, or it is of another version."""
    try:
        found = json.loads(path.read_bytes())
        if found.pop("form") != _FORM:
            return None
        return EmbeddingMap(**found | {"explained": tuple(found["explained"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning(
            "map_unreadable",
            "the embedding map %(path)s cannot be read (%(reason)s); it is computed anew",
            path=path,
            reason=error,
        )
        return None

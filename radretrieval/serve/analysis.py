"""Classes and the embedding map of a served archive, each computed at most once in some seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel

from radretrieval.archive import classes, encoders
from radretrieval.archive.connections import Connection
from radretrieval.errors import NoEncoder
from radretrieval.irma.tree import describe
from radretrieval.jobs.embedding_map import GRID, EmbeddingMap, embedding_map
from radretrieval.serve.recent import Recent
from radretrieval.serve.service import Service

CLASSES_SECONDS = 30.0
MAP_SECONDS = 60.0


class ClassCount(BaseModel):
    """A class: its code (None: images without a label) and that in words (technique, direction, anatomy, biosystem).

    `agreement` is the mean share of an image's ten nearest that are of its class, None where that is not known.
    """

    irma_code: str | None
    words: list[str]
    images: int
    coded: int
    withdrawn: int
    agreement: float | None


class ClassList(BaseModel):
    """The classes, the largest first, of how many images; whose codes `coded` counts, None without an encoder."""

    encoder_id: int | None
    images: int
    classes: list[ClassCount]


class Column(BaseModel):
    """What the images of a map have in one column: places in `terms`, −1 for nothing."""

    terms: list[str]
    values: list[int]


class Map(BaseModel):
    """The embedding map: image i is at x[i], y[i], whole numbers from 0 to `grid`.

    `explained` is the share of the variance of the codes' bits that each axis has; `of` is how many images have a code.
    """

    encoder_id: int
    of: int
    grid: int
    explained: tuple[float, float]
    image_ids: list[int]
    x: list[int]
    y: list[int]
    words: dict[str, list[str]]
    columns: dict[str, Column]


@dataclass(frozen=True)
class _Shown:
    map: Map
    agreement: dict[str, float]


class Analysis:
    """What analysts see of a served archive."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._classes = Recent(self._count, CLASSES_SECONDS)
        self._map = Recent(self._draw, MAP_SECONDS)

    def classes(self) -> ClassList:
        """The classes, with the agreement that the last map was made with."""
        found = self._classes.get()
        if found.encoder_id is None:
            return found
        shown = self._map.latest()
        known = {} if shown is None or shown.map.encoder_id != found.encoder_id else shown.agreement
        told = [one.model_copy(update={"agreement": known.get(one.irma_code or "")}) for one in found.classes]
        return found.model_copy(update={"classes": told})

    def map(self) -> tuple[Map | None, bool]:
        """The last map, None before there is one, and whether a thread looks for a newer one.

        Raises NoEncoder where no encoder is active.
        """
        shown = self._map.latest()
        return (None if shown is None else shown.map), self._map.computing

    def encoder_id(self, connection: Connection) -> int | None:
        """The active encoder, None where there is none."""
        try:
            return encoders.get(connection).id
        except NoEncoder:
            return None

    def _count(self) -> ClassList:
        with self._service.database.connection() as connection:
            encoder = self.encoder_id(connection)
            rows = classes.counts(connection, encoder)
        found = [ClassCount(**row, words=_words(row["irma_code"]), agreement=None) for row in rows]
        return ClassList(encoder_id=encoder, images=sum(row["images"] for row in rows), classes=found)

    def _draw(self) -> _Shown:
        made = embedding_map(self._service.database, self._service.settings)
        with self._service.database.connection() as connection:
            facts = classes.map_facts(connection, made.image_ids)
        return _Shown(_map(made, {row["id"]: row for row in facts}), made.agreement)


def _map(made: EmbeddingMap, facts: dict[int, dict[str, str | None]]) -> Map:
    places = [place for place, one in enumerate(made.image_ids) if one in facts]  # the others are gone meanwhile
    rows = [facts[made.image_ids[place]] for place in places]
    names = ("irma_code", "modality", "body_part", "view_position")
    columns = {name: _column(row[name] for row in rows) for name in names}
    return Map(
        encoder_id=made.encoder_id,
        of=made.codes,
        grid=GRID,
        explained=made.explained,
        image_ids=[made.image_ids[place] for place in places],
        x=[made.x[place] for place in places],
        y=[made.y[place] for place in places],
        words={code: _words(code) for code in columns["irma_code"].terms},
        columns=columns,
    )


def _column(values: Iterable[str | None]) -> Column:
    told = list(values)
    terms = sorted({value for value in told if value is not None})
    number = {term: place for place, term in enumerate(terms)}
    return Column(terms=terms, values=[-1 if value is None else number[value] for value in told])


def _words(code: str | None) -> list[str]:
    return [] if code is None else list(describe(code))

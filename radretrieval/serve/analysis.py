"""Classes and the embedding map of a served archive, each computed at most once in some seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from radretrieval.archive import classes, encoders, images
from radretrieval.archive.connections import Connection
from radretrieval.errors import NoEncoder, NotInArchive
from radretrieval.irma.tree import describe, in_short
from radretrieval.jobs.embedding_map import GRID, embedding_map
from radretrieval.serve.cached_value import CachedValue
from radretrieval.serve.service import Service

CLASSES_SECONDS = 30.0
MAP_SECONDS = 60.0


class ClassCount(BaseModel):
    """A class: its code (None: images without a label), in short words and axis by axis.

    agreement : the mean share of an image's ten nearest that are of its class; None where that is not known.
    x, y : the middle of its images on the map, 0 to 1; nearest : the class whose middle is nearest. None where the map
        has none of its images.
    """

    irma_code: str | None
    label: str
    words: list[str]
    images: int
    coded: int
    withdrawn: int
    agreement: float | None = None
    x: float | None = None
    y: float | None = None
    nearest: str | None = None


class ClassList(BaseModel):
    """The classes, the largest first, of how many images; whose codes `coded` counts, None without an encoder."""

    encoder_id: int | None
    images: int
    classes: list[ClassCount]


class Column(BaseModel):
    """What the images of a map have in one column: `terms`, the most frequent first, and how many have each.

    values : of each image the place in `terms`, −1 for nothing.
    """

    terms: list[str]
    counts: list[int]
    values: list[int]


class Map(BaseModel):
    """The embedding map: image i is at x[i], y[i], whole numbers from 0 to `grid`.

    `explained` is the share of the variance of the codes' bits that each axis has; `of` is how many images have a code.
    `columns` are of the image, and the axes of its IRMA code in words.
    """

    encoder_id: int
    of: int
    grid: int
    explained: tuple[float, float]
    image_ids: list[int]
    x: list[int]
    y: list[int]
    columns: dict[str, Column]


@dataclass(frozen=True)
class _Shown:
    """A map, and what the list of classes takes from it, by IRMA code."""

    map: Map
    facts: dict[str, dict[str, Any]]


class Analysis:
    """What analysts see of a served archive."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._classes = CachedValue(self._count, CLASSES_SECONDS)
        self._map = CachedValue(self._draw, MAP_SECONDS)

    def classes(self) -> ClassList:
        """The classes, with the agreement that the last map was made with."""
        found = self._classes.get()
        if found.encoder_id is None:
            return found
        shown = self._map.latest()
        known = {} if shown is None or shown.map.encoder_id != found.encoder_id else shown.facts
        told = [one.model_copy(update=known.get(one.irma_code or "", {})) for one in found.classes]
        return found.model_copy(update={"classes": told})

    def map(self) -> tuple[Map | None, bool]:
        """The last map, None before there is one, and whether a thread looks for a newer one.

        One that shows an image which is withdrawn by now is dropped. Raises NoEncoder where no encoder is active.
        """
        shown = self._map.latest()
        if shown is not None:
            with self._service.database.connection() as connection:
                if classes.withdrawn(connection, shown.map.image_ids):
                    self._map.drop()
                    shown = self._map.latest()
        return (None if shown is None else shown.map), self._map.computing

    def facts(self, connection: Connection, image_id: int) -> dict[str, str]:
        """What is known of an image in the columns of a map.

        Raises NotInArchive for an image that is not there.
        """
        rows = classes.map_facts(connection, [image_id])
        if not rows:
            raise NotInArchive(images.absent(connection, image_id))
        return {name: one.terms[0] for name, one in _columns(rows, [rows[0]["irma_code"]]).items() if one.terms}

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
        labels = _labels(row["irma_code"] for row in rows)
        found = [ClassCount(**row, label=labels[row["irma_code"]], words=_words(row["irma_code"])) for row in rows]
        return ClassList(encoder_id=encoder, images=sum(row["images"] for row in rows), classes=found)

    def _draw(self) -> _Shown:
        made = embedding_map(self._service.database, self._service.settings)
        with self._service.database.connection() as connection:
            rows = {row["id"]: row for row in classes.map_facts(connection, made.image_ids)}
        places = [place for place, one in enumerate(made.image_ids) if one in rows]  # the others are gone meanwhile
        facts = [rows[made.image_ids[place]] for place in places]
        codes = [row["irma_code"] for row in facts]
        points = np.array([made.x, made.y], float).T[places] / GRID
        shown = Map(
            encoder_id=made.encoder_id,
            of=made.codes,
            grid=GRID,
            explained=made.explained,
            image_ids=[made.image_ids[place] for place in places],
            x=[made.x[place] for place in places],
            y=[made.y[place] for place in places],
            columns=_columns(facts, codes),
        )
        middles = _middles(codes, points)
        labels = _labels(middles)
        known = {code: {**place, "nearest": labels.get(place["nearest"])} for code, place in middles.items()}
        for code, agreement in made.agreement.items():
            known.setdefault(code, {})["agreement"] = agreement
        return _Shown(shown, known)


def _columns(facts: list[dict[str, str | None]], codes: list[str | None]) -> dict[str, Column]:
    """What a map can be coloured by."""
    labels = _labels(codes)
    words = {code: _words(code) for code in set(codes)}
    found = {"irma_code": [None if code is None else labels[code] for code in codes]}
    for place, axis in enumerate(("technique", "direction", "anatomy", "biosystem")):
        found[axis] = [None if code is None else words[code][place] for code in codes]
    for name in ("modality", "body_part", "view_position"):
        found[name] = [row[name] for row in facts]
    return {name: _column(values) for name, values in found.items()}


def _column(values: list[str | None]) -> Column:
    counts = Counter(value for value in values if value is not None)
    terms = sorted(counts, key=lambda term: (-counts[term], term))
    number: dict[str | None, int] = {term: place for place, term in enumerate(terms)}
    return Column(terms=terms, counts=[counts[one] for one in terms], values=[number.get(one, -1) for one in values])


def _middles(codes: list[str | None], points: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """Of each class the middle of its points, and the class whose middle is nearest."""
    labelled = np.array(["" if code is None else code for code in codes])
    names = sorted({code for code in codes if code is not None})
    middles = np.array([points[labelled == name].mean(axis=0) for name in names]).reshape(-1, 2)
    apart = np.hypot(*(middles[:, None] - middles).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return {
        name: {"x": float(x), "y": float(y), "nearest": names[int(np.argmin(apart[i]))] if len(names) > 1 else None}
        for i, (name, (x, y)) in enumerate(zip(names, middles, strict=True))
    }


def _labels(codes: Iterable[str | None]) -> dict[str | None, str]:
    """Codes in short words; those that would read alike have the code behind."""
    short = {code: ", ".join(in_short(code)) or code if code else "" for code in codes}
    often = Counter(short.values())
    return {code: f"{label} ({code})" if often[label] > 1 else label for code, label in short.items()}


def _words(code: str | None) -> list[str]:
    return [] if code is None else list(describe(code))

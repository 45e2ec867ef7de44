"""Cases for regions: pairs of films and the place where a region of the first lies in the second, made from seeds.

Kinds 1-9 are a film and the same film changed in a known way; kind 10 is a landmark in the films of two patients; a
case of another region has no right place.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[np.float32]
Box = tuple[float, float, float, float]

KINDS = {
    1: "the identical film",
    2: "shifted up to ±15 %",
    3: "gamma, contrast, brightness",
    4: "noise and blur",
    5: "turned up to ±15°",
    6: "scaled 0.8-1.25",
    7: "all of these at once",
    8: "inverted grey",
    9: "a bright border or marker added",
    10: "another patient, same landmark",
}
LANDMARK_SIDE = 0.28  # of the longest side
LEAST_CONTRAST = 8 / 255  # standard deviation of a region's grey values: an empty corner is no region


@dataclass(frozen=True)
class Case:
    """A query with its region, an image, and where the region is in it (None: nowhere)."""

    kind: int | None
    what: str
    query: Pixels
    roi: tuple[int, int, int, int]
    image: Pixels
    box: Box | None


class Films:
    """The radiographs of shared/data, with what cases need to know of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with open(folder / "metadata.csv", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["split"] in ("train", "test")]
        self.region = {row["file"]: row["body_region"] for row in rows}
        self.classes: dict[str, list[str]] = {}
        for row in rows:
            self.classes.setdefault(row["class_name"], []).append(row["file"])

    @cache  # noqa: B019  (one object, as long as the run)
    def pixels(self, file: str) -> Pixels:
        """A film, 0…1."""
        with Image.open(self.folder / file) as image:
            return np.asarray(image.convert("L"), np.float32) / np.float32(255)

    def drawn(self, rng: np.random.Generator) -> str:
        """A film of any class, each class as likely as another."""
        files = self.classes[str(rng.choice(sorted(self.classes)))]
        return files[int(rng.integers(len(files)))]


def changed(films: Films, rng: np.random.Generator, kind: int) -> Case:
    """A case of kinds 1 to 9."""
    while True:
        file = films.drawn(rng)
        query = films.pixels(file)
        roi = _region(query, rng)
        image, box = _changed(query, roi, rng, kind)
        inside = iou(box, (0, 0, image.shape[1], image.shape[0])) * image.size / (box[2] * box[3])
        if inside > 0.95:  # of the region, at least this part is still in the film
            return Case(kind, file, query, roi, image, box)


def _region(query: Pixels, rng: np.random.Generator) -> tuple[int, int, int, int]:
    rows, columns = query.shape
    while True:
        width, height = (max(4, round(float(rng.uniform(0.2, 0.4)) * side)) for side in (columns, rows))
        x, y = int(rng.integers(columns - width + 1)), int(rng.integers(rows - height + 1))
        if query[y : y + height, x : x + width].std() >= LEAST_CONTRAST:
            return x, y, width, height


def _changed(query: Pixels, roi: tuple[int, int, int, int], rng: np.random.Generator, kind: int) -> tuple[Pixels, Box]:
    every = kind == 7
    rows, columns = query.shape
    shift = rng.uniform(-0.15, 0.15, 2) * query.shape if kind == 2 or every else np.zeros(2)
    angle = np.deg2rad(rng.uniform(-15, 15)) if kind == 5 or every else 0.0
    scale = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25)))) if kind == 6 or every else 1.0
    image, box = query, _box(roi)
    if kind in (2, 5, 6) or every:
        # out = centre + shift + scale·R·(in - centre)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = (np.array(query.shape) - 1) / 2
        back = np.linalg.inv(turn)
        image = ndimage.affine_transform(query, back, centre - back @ (centre + shift), order=1, mode="constant")
        x, y, width, height = roi
        middle = np.array([y + height / 2 - 0.5, x + width / 2 - 0.5])
        there = centre + shift + turn @ (middle - centre) + 0.5
        width, height = width * scale, height * scale
        box = (there[1] - width / 2, there[0] - height / 2, width, height)
    if kind == 3 or every:
        image = np.clip(image, 0, 1) ** rng.uniform(0.6, 1.6) * rng.uniform(0.6, 1.0) + rng.uniform(0, 0.15)
    if kind == 4 or every:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2) * max(rows, columns) / 256)
        image = image + rng.normal(0, rng.uniform(0.01, 0.06), image.shape)
    if kind == 8:
        image = 1 - image
    if kind == 9:
        image = _marked(image, rng, roi)
    return np.clip(image, 0, 1).astype(np.float32), box


def _marked(image: Pixels, rng: np.random.Generator, roi: tuple[int, int, int, int]) -> Pixels:
    """A bright border, or a bright marker outside the region."""
    rows, columns = image.shape
    image = image.copy()
    if rng.random() < 0.5:
        thick = max(1, round(float(rng.uniform(0.02, 0.08)) * min(rows, columns)))
        inner = image[thick:-thick, thick:-thick].copy()
        image[:] = 1
        image[thick:-thick, thick:-thick] = inner
        return image
    while True:
        width, height = (max(2, round(float(rng.uniform(0.06, 0.2)) * side)) for side in (columns, rows))
        x, y = int(rng.integers(columns - width + 1)), int(rng.integers(rows - height + 1))
        if not iou((x, y, width, height), _box(roi)):
            image[y : y + height, x : x + width] = 1
            return image


def landmark_pairs(films: Films, landmarks: Path) -> Iterator[Case]:
    """Every ordered pair of two films with one landmark: kind 10."""
    with open(landmarks, newline="") as lines:
        rows = [(row["landmark"], row["file"], row["x_percent"], row["y_percent"]) for row in csv.DictReader(lines)]
    for name, file, *place in rows:
        for other_name, other, *there in rows:
            if name == other_name and file != other:
                query, image = films.pixels(file), films.pixels(other)
                yield Case(10, name, query, _whole(_around(query, place)), image, _around(image, there))


def _around(film: Pixels, percent: list[str]) -> Box:
    """The box around a landmark, inside the film."""
    rows, columns = film.shape
    side = LANDMARK_SIDE * max(rows, columns)
    x, y = (float(value) / 100 * length - side / 2 for value, length in zip(percent, (columns, rows), strict=True))
    left, top, right, bottom = max(0.0, x), max(0.0, y), min(columns, x + side), min(rows, y + side)
    return left, top, right - left, bottom - top


def _whole(box: Box) -> tuple[int, int, int, int]:
    x, y, width, height = box
    left, top = round(x), round(y)
    return left, top, round(x + width) - left, round(y + height) - top


def elsewhere(films: Films, rng: np.random.Generator) -> Case:
    """A region, and the film of another part of the body."""
    query = films.drawn(rng)
    while True:
        image = films.drawn(rng)
        if films.region[image] != films.region[query]:
            pixels = films.pixels(query)
            what = f"{films.region[query]} in {films.region[image]}"
            return Case(None, what, pixels, _region(pixels, rng), films.pixels(image), None)


def _box(roi: tuple[int, int, int, int]) -> Box:
    x, y, width, height = roi
    return float(x), float(y), float(width), float(height)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)

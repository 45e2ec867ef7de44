"""Bodies in space: ellipsoids and cylinders, and the scenes that they make up.

Space is the patient's, in centimetres: x to the patient's left, y to the back, z to the head (DICOM PS3.3
C.7.6.2). A coefficient is relative to what the body stands in, so that path length × coefficient adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Body:
    """An ellipsoid, or an elliptic cylinder along its third axis.

    Attributes
    ----------
    coefficient : linear attenuation relative to the surroundings, 1/cm.
    centre, half : centre and half-axes, cm.
    axes : (3, 3), its axes as columns.
    cylinder : whether the third axis ends in flat faces.
    comb : (normal, period in cm, share): only that share of each period is filled, as by ribs or vertebrae.
    within : the body counts only where this one is too.
    fuzzy : its density falls off towards its surface (1 − r²), as glands and vessels do.
    union : name of the bodies that count once where they overlap (flesh, bone); empty: adds to all others.
    loose : how much its size and place vary between patients; 1 is firm.
    option, chance : bodies of one option are there together, in that share of the patients.
    """

    coefficient: float
    centre: Vector
    half: Vector
    axes: NDArray[np.float64]
    cylinder: bool = False
    comb: tuple[Vector, float, float] | None = None
    within: Body | None = None
    fuzzy: bool = False
    union: str = ""
    loose: float = 1.0
    option: str = ""
    chance: float = 1.0


def rotation(degrees: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    turned: NDArray[np.float64] = about_z @ about_y @ about_x
    return turned


def ball(
    coefficient: float,
    centre: Vector,
    half: Vector | float,
    tilt: Vector = (0, 0, 0),
    within: Body | None = None,
    loose: float = 1.0,
) -> Body:
    """An ellipsoid, turned by `tilt` degrees about x, y and z."""
    half = half if isinstance(half, tuple) else (half, half, half)
    return Body(coefficient, centre, half, rotation(tilt), within=within, loose=loose)


def rod(coefficient: float, start: Vector, end: Vector, radius: float, depth: float | None = None) -> Body:
    """A cylinder from one point to another; `depth` is its second radius, towards the back."""
    along = np.subtract(end, start)
    length = float(np.linalg.norm(along))
    third = along / length
    second = np.array([0.0, 1.0, 0.0]) if abs(third[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    first = np.cross(second, third)
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(third, first), third], axis=1)
    middle = (np.add(start, end) / 2).tolist()
    half = (radius, radius if depth is None else depth, length / 2)
    return Body(coefficient, (middle[0], middle[1], middle[2]), half, axes, cylinder=True)


def combed(body: Body, normal: Vector, period: float, share: float) -> Body:
    """The same body, cut into slabs across `normal`."""
    return replace(body, comb=(normal, period, share))


def turned(bodies: Iterable[Body], degrees: Vector, about: Vector = (0, 0, 0), shift: Vector = (0, 0, 0)) -> list[Body]:
    """The bodies turned about a point, as a limb about its joint, and then shifted."""
    turn = rotation(degrees)

    def moved(body: Body) -> Body:
        x, y, z = (turn @ np.subtract(body.centre, about) + about + np.array(shift)).tolist()
        comb = body.comb
        if comb is not None:
            first, second, third = (turn @ np.array(comb[0], float)).tolist()
            comb = ((first, second, third), comb[1], comb[2])
        within = None if body.within is None else moved(body.within)
        return replace(body, centre=(x, y, z), axes=turn @ body.axes, comb=comb, within=within)

    return [moved(body) for body in bodies]


def maybe(chance: float, option: str, *bodies: Body) -> list[Body]:
    """Bodies that only a share of the patients has: a plate, a ring, a plaster."""
    return [replace(body, option=option, chance=chance) for body in bodies]


class Patient(NamedTuple):
    """One patient's bodies: centres relative to the middle of the region and half-axes, (n, 3), cm."""

    coefficient: NDArray[np.float64]
    centre: NDArray[np.float64]
    half: NDArray[np.float64]


class Scene:
    """The bodies of one region as arrays, ready to be projected from any side."""

    def __init__(self, bodies: Sequence[Body]) -> None:
        masks = [body.within for body in bodies if body.within is not None and body.within not in bodies]
        everything = [*bodies, *dict.fromkeys(masks)]
        self.count = len(bodies)
        self.coefficient = np.array([body.coefficient for body in everything])
        self.centre = np.array([body.centre for body in everything])
        self.half = np.array([body.half for body in everything])
        self.axes = np.array([body.axes for body in everything])
        self.cylinder = [body.cylinder for body in everything]
        self.comb = [body.comb for body in everything]
        self.within = [None if body.within is None else everything.index(body.within) for body in everything]
        self.fuzzy = [body.fuzzy for body in everything]
        self.union = [body.union for body in everything]
        self.loose = np.array([body.loose for body in everything])[:, None]
        # What casts a shadow brighter than flesh; it is what a harder beam makes fainter.
        self.mineral = (self.coefficient >= 0.16) & np.array([name != "flesh" for name in self.union])
        options = {body.option: body.chance for body in everything}
        self.chance = np.array(list(options.values()))
        self.option = np.array([list(options).index(body.option) for body in everything])
        # Bodies about one centre, as a bone and its cavity, vary together: a shell stays a shell.
        _, self.group = np.unique(self.centre, axis=0, return_inverse=True)

    def vary(self, rng: np.random.Generator, middle: Vector = (0, 0, 0)) -> Patient:
        """One patient, built up from the middle of the region, so that it stays in the field."""
        build = np.exp(rng.normal(0, 0.05, 3))
        size, place = rng.standard_normal((2, self.group.max() + 1, 3))
        present = rng.random(self.chance.size) < self.chance
        half = self.half * build.mean() * np.exp(0.025 * self.loose * size[self.group])
        centre = (self.centre - middle) * build + 0.06 * self.loose * place[self.group]
        return Patient(np.where(present[self.option], self.coefficient, 0), centre, half)

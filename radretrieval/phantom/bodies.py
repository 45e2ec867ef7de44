"""Bodies in space and the length of a ray's path through each of them, by closed formulas.

Space is the patient's, in centimetres: x to the patient's left, y to the back, z to the head (DICOM PS3.3
C.7.6.2). A coefficient is relative to what the body stands in, so that path length × coefficient adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Array = NDArray[np.float32]

_LEAST = 0.02  # a face seen edge-on is taken as seen at about one degree: no division by zero


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
        # Bodies about one centre, as a bone and its cavity, vary together: a shell stays a shell.
        _, self.group = np.unique(self.centre, axis=0, return_inverse=True)

    def vary(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """One patient's centres and half-axes, (n, 3) each, cm."""
        build = np.exp(rng.normal(0, 0.05, 3))
        size, place = rng.standard_normal((2, self.group.max() + 1, 3))
        half = self.half * build.mean() * np.exp(0.025 * self.loose * size[self.group])
        centre = self.centre * build + 0.06 * self.loose * place[self.group]
        return centre, half


class Projection:
    """A scene seen along one direction: line integrals on the detector.

    Parameters
    ----------
    scene : the bodies.
    centre, half : (n, 3), where this patient's bodies are and how large, cm.
    view : (3, 3) its rows are the detector's right, its down and the rays' direction, in the patient's space.
    focus : distance from the focus to the detector, cm; what is far from the detector is magnified.
    depth : distance from the middle of the region to the detector, cm.
    """

    def __init__(
        self,
        scene: Scene,
        centre: NDArray[np.float64],
        half: NDArray[np.float64],
        view: NDArray[np.float64],
        focus: float,
        depth: float,
    ) -> None:
        self.scene, self.view = scene, view
        seen = centre @ view.T
        magnification = focus / np.maximum(focus - depth + seen[:, 2:], focus / 2)
        self.place = seen * np.hstack([magnification, magnification, np.ones_like(magnification)])
        self.enlarged = half * magnification
        self.axes = view @ scene.axes
        inverse = 1 / self.enlarged**2
        inverse[scene.cylinder, 2] = 0
        self.form = np.einsum("nij,nj,nkj->nik", self.axes, inverse, self.axes)
        self.form[:, 2, 2] = np.maximum(self.form[:, 2, 2], 1e-6)
        self.reach = self._reach()

    def line_integrals(self, right: Array, down: Array) -> Array:
        """∫ coefficient along each ray, (rows, columns), at `right` × `down` (cm, evenly spaced)."""
        shape = (down.size, right.size)
        layers = {name: np.zeros(shape, np.float32) for name in dict.fromkeys(("", *self.scene.union))}
        for body in range(self.scene.count):
            columns = _span(right, self.place[body, 0], self.reach[body, 0])
            rows = _span(down, self.place[body, 1], self.reach[body, 1])
            if rows.stop > rows.start and columns.stop > columns.start:
                path = self._path(body, right[columns], down[rows, None])
                path *= np.float32(self.scene.coefficient[body])
                union = self.scene.union[body]
                part = layers[union][rows, columns]
                # The greatest attenuation stands for the union's, which has no closed formula.
                (np.maximum if union else np.add)(part, path, out=part)
        total = layers.pop("")
        for layer in layers.values():
            total += layer
        return total

    def _reach(self) -> NDArray[np.float64]:
        """Half the width and height of each body's shadow."""
        extents = self.axes[:, :2] * self.enlarged[:, None, :]
        squares = extents**2
        flat = np.asarray(self.scene.cylinder)[:, None]
        round_part = np.sqrt(squares[..., :2].sum(-1) + np.where(flat, 0, squares[..., 2]))
        reach: NDArray[np.float64] = round_part + np.where(flat, np.abs(extents[..., 2]), 0)
        return reach

    def _path(self, body: int, right: Array, down: Array) -> Array:
        other, comb = self.scene.within[body], self.scene.comb[body]
        if other is None and comb is None and not self.scene.cylinder[body]:
            chord = self._chord(body, right - self.place[body, 0], down - self.place[body, 1])
            if not self.scene.fuzzy[body]:
                return np.float32(2) * chord
            fuzzy: Array = np.float32(4 / 3 * self.form[body, 2, 2]) * (chord * chord * chord)
            return fuzzy
        low, high = self._interval(body, right, down)
        if other is not None:
            bounds = self._interval(other, right, down)
            low, high = np.maximum(low, bounds[0]), np.minimum(high, bounds[1])
        if comb is None:
            length: Array = np.maximum(high - low, 0)
            return length
        return self._combed(body, comb, right, down, low, np.maximum(high, low))

    def _chord(self, body: int, u: Array, v: Array) -> Array:
        """Half the length inside the quadric: √((1 − q(u, v)) / A_ww), q the form of the shadow's outline."""
        form = self.form[body]
        ((a, b), (_, c)) = (form[:2, :2] - np.outer(form[:2, 2], form[2, :2]) / form[2, 2]) / form[2, 2]
        square: Array = (np.float32(1 / form[2, 2]) - np.float32(a) * u * u) - np.float32(c) * v * v
        if abs(b) > 1e-9:
            square -= (np.float32(2 * b) * u) * v
        np.maximum(square, 0, out=square)
        return np.sqrt(square, out=square)

    def _interval(self, body: int, right: Array, down: Array) -> tuple[Array, Array]:
        """Where rays enter and leave, measured along the ray in cm from the plane of the patient's origin."""
        u = (right - self.place[body, 0]).astype(np.float32)
        v = (down - self.place[body, 1]).astype(np.float32)
        form = self.form[body]
        chord = self._chord(body, u, v)
        middle = np.float32(-form[0, 2] / form[2, 2]) * u + np.float32(-form[1, 2] / form[2, 2]) * v
        low, high = middle - chord, middle + chord
        if self.scene.cylinder[body]:
            normal = self.axes[body, :, 2]
            steep = np.copysign(max(abs(normal[2]), _LEAST), normal[2])
            between = np.float32(-normal[0] / steep) * u + np.float32(-normal[1] / steep) * v
            half = np.float32(self.enlarged[body, 2] / abs(steep))
            low, high = np.maximum(low, between - half), np.minimum(high, between + half)
        depth = np.float32(self.place[body, 2])
        return low + depth, high + depth

    def _combed(
        self, body: int, comb: tuple[Vector, float, float], right: Array, down: Array, low: Array, high: Array
    ) -> Array:
        """Length of the interval inside the slabs: the difference of the comb's integral at its ends."""
        normal, period, share = comb
        n = self.view @ np.asarray(normal) / np.linalg.norm(normal)
        steep = np.copysign(max(abs(n[2]), _LEAST), n[2]) / period
        across = np.float32(n[0] / period) * right + np.float32(n[1] / period) * down

        def filled(t: Array) -> Array:
            s = across + np.float32(steep) * t
            whole = np.floor(s)
            filled_part: Array = whole * np.float32(share) + np.minimum(s - whole, np.float32(share))
            return filled_part

        length: Array = (filled(high) - filled(low)) / np.float32(steep)
        return length


def _span(grid: Array, middle: float, reach: float) -> slice:
    """The part of an evenly spaced grid that lies within `reach` of `middle`."""
    step = (grid[-1] - grid[0]) / (grid.size - 1)
    first = int(np.ceil((middle - reach - grid[0]) / step))
    last = int(np.floor((middle + reach - grid[0]) / step))
    return slice(min(max(first, 0), grid.size), max(min(last + 1, grid.size), 0))

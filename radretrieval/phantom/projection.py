"""The length of a ray's path through each body of a scene, by closed formulas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radretrieval.phantom.bodies import Patient, Scene, Vector

Array = NDArray[np.float32]

_LEAST = 0.02  # a face seen edge-on is taken as seen at about one degree: no division by zero


class Projection:
    """A scene seen along one direction: line integrals on the detector.

    Parameters
    ----------
    scene : the bodies.
    patient : where this patient's bodies are and how large.
    view : (3, 3) its rows are the detector's right, its down and the rays' direction, in the patient's space.
    focus : distance from the focus to the detector, cm; what is far from the detector is magnified.
    depth : distance from the middle of the region to the detector, cm.
    """

    def __init__(
        self,
        scene: Scene,
        patient: Patient,
        view: NDArray[np.float64],
        focus: float,
        depth: float,
    ) -> None:
        self.scene, self.view, self.coefficient = scene, view, patient.coefficient
        seen = patient.centre @ view.T
        magnification = focus / np.maximum(focus - depth + seen[:, 2:], focus / 2)
        self.place = seen * np.hstack([magnification, magnification, np.ones_like(magnification)])
        self.enlarged = patient.half * magnification
        self.axes = view @ scene.axes
        inverse = 1 / self.enlarged**2
        inverse[scene.cylinder, 2] = 0
        self.form = np.einsum("nij,nj,nkj->nik", self.axes, inverse, self.axes)
        self.form[:, 2, 2] = np.maximum(self.form[:, 2, 2], 1e-6)
        self.reach = self._reach()

    def line_integrals(self, right: Array, down: Array, only: NDArray[np.bool_] | None = None) -> Array:
        """∫ coefficient along each ray, (rows, columns), at `right` × `down` (cm, evenly spaced).

        `only` says for each body whether it counts; all of them do without it.
        """
        shape = (down.size, right.size)
        layers = {name: np.zeros(shape, np.float32) for name in dict.fromkeys(("", *self.scene.union))}
        for body in range(self.scene.count):
            if self.coefficient[body] == 0 or (only is not None and not only[body]):
                continue
            columns = _span(right, self.place[body, 0], self.reach[body, 0])
            rows = _span(down, self.place[body, 1], self.reach[body, 1])
            if rows.stop > rows.start and columns.stop > columns.start:
                path = self._path(body, right[columns], down[rows, None])
                path *= np.float32(self.coefficient[body])
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

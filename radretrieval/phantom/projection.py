"""The length of a ray's path through each body of a scene, by closed formulas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radretrieval.phantom.bodies import Patient, Scene, Vector

Array = NDArray[np.float32]
Interval = tuple[Array, Array]

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

    def __init__(self, scene: Scene, patient: Patient, view: NDArray[np.float64], focus: float, depth: float) -> None:
        self.scene, self.view, self.coefficient = scene, view, patient.coefficient
        seen = patient.centre @ view.T
        magnification = focus / np.maximum(focus - depth + seen[:, 2:], focus / 2)
        self.place = seen * np.hstack([magnification, magnification, np.ones_like(magnification)])
        self.axes = view @ scene.axes
        enlarged = patient.half * magnification
        self.reach = self._reach(enlarged)
        # The quadric's form, cut across the rays: A u² + 2B uv + C v² ≤ top is the shadow's outline.
        inverse = 1 / enlarged**2
        inverse[scene.cylinder, 2] = 0
        form = np.einsum("nij,nj,nkj->nik", self.axes, inverse, self.axes)
        along = np.maximum(form[:, 2, 2], 1e-6)
        shear = form[:, :2, 2] / along[:, None]
        outline = form[:, :2, :2] / along[:, None, None] - shear[:, :, None] * shear[:, None]
        self.density = (4 / 3 * along).tolist()
        self.outline = np.stack([outline[:, 0, 0], 2 * outline[:, 0, 1], outline[:, 1, 1], 1 / along], axis=1).tolist()
        self.middle = (-shear).tolist()
        # A cylinder's faces: where a ray meets them, from the middle between them.
        normal = self.axes[:, :, 2]
        steep = np.copysign(np.maximum(np.abs(normal[:, 2]), _LEAST), normal[:, 2])
        self.faces = np.hstack([-normal[:, :2] / steep[:, None], (enlarged[:, 2] / np.abs(steep))[:, None]]).tolist()

    def line_integrals(self, right: Array, down: Array, only: NDArray[np.bool_] | None = None) -> Array:
        """∫ coefficient along each ray, (rows, columns), at `right` × `down` (cm, evenly spaced).

        `only` says for each body whether it counts; all of them do without it.
        """
        layers = {name: np.zeros((down.size, right.size), np.float32) for name in {"", *self.scene.union}}
        columns, rows = (
            _spans(right, self.place[:, 0], self.reach[:, 0]),
            _spans(down, self.place[:, 1], self.reach[:, 1]),
        )
        counts = (self.coefficient != 0) & (columns[0] < columns[1]) & (rows[0] < rows[1])
        counts[self.scene.count :] = False
        bounds = np.concatenate([rows, columns]).T.tolist()
        masks: dict[int, Interval] = {}
        for body in np.flatnonzero(counts if only is None else counts & only).tolist():
            top, bottom, first, last = bounds[body]
            other = self.scene.within[body]
            within = None
            if other is not None:
                up, low, left, end = bounds[other]
                top, bottom, first, last = max(top, up), min(bottom, low), max(first, left), min(last, end)
                if top >= bottom or first >= last:
                    continue
                if other not in masks:
                    masks[other] = self._interval(other, right[left:end], down[up:low, None])
                window = slice(top - up, bottom - up), slice(first - left, last - left)
                within = masks[other][0][window], masks[other][1][window]
            path = self._path(body, right[first:last], down[top:bottom, None], within)
            path *= np.float32(self.coefficient[body])
            union = self.scene.union[body]
            part = layers[union][top:bottom, first:last]
            # The greatest attenuation stands for the union's, which has no closed formula.
            (np.maximum if union else np.add)(part, path, out=part)
        total = layers.pop("")
        for name in sorted(layers):
            total += layers[name]
        return total

    def _reach(self, enlarged: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half the width and height of each body's shadow."""
        extents = self.axes[:, :2] * enlarged[:, None, :]
        squares = extents**2
        flat = np.asarray(self.scene.cylinder)[:, None]
        round_part = np.sqrt(squares[..., :2].sum(-1) + np.where(flat, 0, squares[..., 2]))
        reach: NDArray[np.float64] = round_part + np.where(flat, np.abs(extents[..., 2]), 0)
        return reach

    def _path(self, body: int, right: Array, down: Array, within: Interval | None) -> Array:
        comb = self.scene.comb[body]
        if within is None and comb is None and not self.scene.cylinder[body]:
            chord = self._chord(body, right - np.float32(self.place[body, 0]), down - np.float32(self.place[body, 1]))
            if self.scene.fuzzy[body]:
                cube = chord * chord
                cube *= chord
                cube *= self.density[body]
                return cube
            chord += chord
            return chord
        low, high = self._interval(body, right, down)
        if within is not None:
            np.maximum(low, within[0], out=low)
            np.minimum(high, within[1], out=high)
        if comb is not None:
            return self._combed(comb, right, down, low, np.maximum(high, low, out=high))
        high -= low
        return np.maximum(high, 0, out=high)

    def _chord(self, body: int, u: Array, v: Array) -> Array:
        """Half the length inside the quadric, at `u` × `v` from its middle."""
        a, b, c, top = self.outline[body]
        square: Array = (top - a * u * u) - c * v * v
        if abs(b) > 1e-9:
            square -= (b * u) * v
        np.maximum(square, 0, out=square)
        return np.sqrt(square, out=square)

    def _interval(self, body: int, right: Array, down: Array) -> Interval:
        """Where rays enter and leave, measured along the ray in cm from the plane of the patient's origin."""
        across, along, depth = (np.float32(value) for value in self.place[body])
        u, v = right - across, down - along
        chord = self._chord(body, u, v)
        middle = self.middle[body]
        centre = (middle[0] * u + depth) + middle[1] * v
        low = centre - chord
        high = np.add(centre, chord, out=chord)
        if self.scene.cylinder[body]:
            first, second, half = self.faces[body]
            between = (first * u + (depth - np.float32(half))) + second * v
            np.maximum(low, between, out=low)
            between += 2 * half
            np.minimum(high, between, out=high)
        return low, high

    def _combed(self, comb: tuple[Vector, float, float], right: Array, down: Array, low: Array, high: Array) -> Array:
        """Length of the interval inside the slabs: the difference of the comb's integral at its ends."""
        normal, period, share = comb
        n = (self.view @ np.asarray(normal) / np.linalg.norm(normal)).tolist()
        steep = float(np.copysign(max(abs(n[2]), _LEAST), n[2])) / period
        across = (n[0] / period) * right + (n[1] / period) * down

        def filled(place: Array) -> Array:
            place *= steep
            place += across
            whole = np.floor(place)
            place -= whole
            np.minimum(place, share, out=place)
            whole *= share
            whole += place
            return whole

        length = filled(high)
        length -= filled(low)
        length *= 1 / steep
        return length


def _spans(grid: Array, middle: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.int_]:
    """The parts of an evenly spaced grid that lie within `reach` of `middle`: first and behind the last, (2, n)."""
    step = (float(grid[-1]) - float(grid[0])) / (grid.size - 1)
    first = np.ceil((middle - reach - grid[0]) / step)
    last = np.floor((middle + reach - grid[0]) / step) + 1
    spans: NDArray[np.int_] = np.clip([first, last], 0, grid.size).astype(int)
    return spans

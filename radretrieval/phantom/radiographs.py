"""Synthetic radiographs by IRMA code: which region, from which direction, of which side, by which technique."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.irma.code import axes
from radretrieval.irma.imageclef import WITHDRAWN, classes
from radretrieval.phantom import film
from radretrieval.phantom.anatomy import BODY_PARTS, SIDES, SWAYS, Shot, scene, shot
from radretrieval.phantom.directions import Direction, direction, longest
from radretrieval.phantom.projection import Array, Projection
from radretrieval.phantom.technique import TECHNIQUES, Technique


@dataclass(frozen=True)
class PhantomClass:
    """One class that phantoms are made of: what the labels CSV says of it."""

    irma_code: str
    modality: str
    body_part: str
    view_position: str
    laterality: str


_FIRST = (
    "1123-127-500-000",
    "1123-110-500-000",
    "1123-211-500-000",
    "1121-110-414-700",
    "1121-120-942-700",
    "1121-120-200-700",
    "1121-120-800-700",
    "1121-120-330-700",
    "1124-310-620-625",
    "1121-230-942-700",
    "1121-220-230-700",
    "1121-120-914-700",
    "1121-120-943-700",
    "1121-220-310-700",
    "1124-410-620-625",
    "1121-210-330-700",
)

# The 193 codes of ImageCLEF 2009; the first n are the classes of an archive of n classes: some that a person tells
# apart at a glance, then the others, the largest first.
CODES = (*_FIRST, *(known.irma_code for known in classes() if known.irma_code not in _FIRST))
DRAWN = frozenset((*CODES, *WITHDRAWN))


def phantom_class(code: str) -> PhantomClass:
    """What the labels say of phantoms with that IRMA code.

    Raises
    ------
    UsageError : it is not an IRMA code, or no phantom is drawn for it.
    """
    taken = _Taken.of(code)
    place = taken.place
    modality = "MG" if place.startswith("6") else "DX"
    body_part = longest(BODY_PARTS, place) or ""
    return PhantomClass(code, modality, body_part, taken.direction(taken.side).position, taken.side)


def radiograph(
    code: int | str, rng: np.random.Generator, size: int = 256, patient: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """One synthetic radiograph.

    The attenuation of overlapping bodies is summed along every ray by closed formulas; the film follows by
    Beer-Lambert's law, with focal blur, scatter, quantum noise, a display curve, collimation and a marker.

    Parameters
    ----------
    code : an index into `CODES`, or an IRMA code of ImageCLEF 2009.
    rng : draws the pose and the exposure; and the patient, if `patient` is not given.
    size : side in pixels, at least 16.
    patient : draws the anatomy; equal states give the same patient.

    Returns
    -------
    float32 (size, size), 0…1, bright is high attenuation.

    Raises
    ------
    UsageError : `size` is too small, the index does not exist, or no phantom is drawn for that code.
    """
    if size < 16:
        raise UsageError(f"a phantom needs at least 16 pixels a side, not {size}")
    if isinstance(code, int):
        if not 0 <= code < len(CODES):
            raise UsageError(f"there is no phantom class {code}; the classes are 0 to {len(CODES) - 1}")
        code = CODES[code]
    taken = _Taken.of(code)
    side = taken.side or str(rng.choice(["L", "R"]))
    integrals = taken.line_integrals(side, rng, rng if patient is None else patient, size)
    return film.develop(integrals, film.Exposure.draw(rng, side, taken.shot.aspect, taken.technique), rng)


@dataclass(frozen=True)
class _Taken:
    """A code, read: what is taken how."""

    angle: str
    place: str
    side: str  # L, R or empty where the code names none
    shot: Shot
    technique: Technique

    @classmethod
    def of(cls, code: str) -> _Taken:
        means, angle, place, system = axes(code)
        found = shot(means, angle, place, system)
        if found is None or "-".join((means, angle, place, system)) not in DRAWN:
            raise UsageError(f"no phantom is drawn for the IRMA code {code}; among those drawn are {', '.join(_FIRST)}")
        return cls(angle, place, SIDES.get(place, SIDES.get(place[:2], "")), found, TECHNIQUES[means])

    def direction(self, side: str, rng: np.random.Generator | None = None, angle: str = "") -> Direction:
        """The direction of the code, or another one of the same part."""
        found = direction(angle or self.angle, self.shot.frame, self._mirrored(side), rng)
        assert found is not None, "every code of DRAWN has a direction"
        return found

    def line_integrals(self, side: str, rng: np.random.Generator, anatomy: np.random.Generator, size: int) -> Array:
        """Of one image and patient, (size, size)."""
        posture = round(SWAYS * float(np.clip(rng.normal(0, 0.45), -1, 1)))
        bodies = scene(self.shot.model, posture)
        x, y, z = (np.array(self.shot.middle) + rng.uniform(-1, 1, 3) * self.shot.wander).tolist()
        patient = bodies.vary(anatomy, (-x if self.shot.whole and side == "R" else x, y, z))
        patient = self.technique.harden(bodies, patient)
        field = self.shot.field * float(np.exp(rng.normal(0, 0.055)))
        steps = ((np.arange(size) + 0.5) / size - 0.5) * field
        right, down = ((steps + shift).astype(np.float32) for shift in rng.normal(0, 0.025 * field, 2))

        def seen(angle: str, right: Array) -> Array:
            way = self.direction(side, rng, angle)
            view = Projection(bodies, patient, way.pose(rng), way.focus, 0.3 * field)
            return self.technique.line_integrals(view, right, down)

        if self.angle.startswith("5"):  # two views on one film
            edge, quarter = size // 2, size // 4
            halves = right[quarter : quarter + edge], right[quarter : quarter + size - edge]
            integrals = np.hstack([seen(angle, half) for angle, half in zip(("12", "23"), halves, strict=True)])
        else:
            integrals = seen(self.angle, right)
        return integrals[:, ::-1].copy() if self._mirrored(side) else integrals

    def _mirrored(self, side: str) -> bool:
        """Arms, breasts and legs are drawn as left ones."""
        return side == "R" and not self.shot.whole and self.place[0] in "469"

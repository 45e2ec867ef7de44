"""How the rays run: the direction axis of the IRMA code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radretrieval.phantom.bodies import Vector, rotation

Value = TypeVar("Value")
View = tuple[Vector, Vector, Vector]


@dataclass(frozen=True)
class Direction:
    """One direction.

    Attributes
    ----------
    view : the detector's right, its down and the rays' direction as rows, in the patient's space.
    focus : from the focus to the detector, cm.
    position : DICOM View Position.
    tilt : degrees by which the patient is turned about x, y and z beforehand.
    strewn : standard deviation of that between images, degrees.
    """

    view: View
    focus: float
    position: str
    tilt: Vector = (0, 0, 0)
    strewn: Vector = (2.5, 2.5, 2.5)

    def pose(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The view of one image, (3, 3)."""
        turned = rotation(np.array(self.tilt) + rng.normal(0, 1, 3) * self.strewn)
        on_table: NDArray[np.float64] = rotation((0, 0, rng.normal(0, 3))) @ np.array(self.view, float) @ turned
        return on_table


_PA: View = ((1, 0, 0), (0, 0, -1), (0, -1, 0))
_AP: View = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
_PA_ON_SIDE: View = ((0, 0, 1), (1, 0, 0), (0, -1, 0))
_AP_ON_SIDE: View = ((0, 0, 1), (1, 0, 0), (0, 1, 0))
_FACING_LEFT: View = ((0, 1, 0), (0, 0, -1), (1, 0, 0))
_FACING_RIGHT: View = ((0, -1, 0), (0, 0, -1), (-1, 0, 0))
_FROM_ABOVE: View = ((0, -1, 0), (-1, 0, 0), (0, 0, -1))
_FROM_BELOW: View = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_ON_SOLE: View = ((-1, 0, 0), (0, 1, 0), (0, 0, -1))
_BEHIND_HEEL: View = ((1, 0, 0), (0, 0.77, 0.64), (0, -0.64, 0.77))

# Keyed by the beginning of the direction axis; the longest that fits counts. A frame stands before a colon: the
# foot is laid on the film where other parts are turned to it.
DIRECTIONS = {
    "11": Direction(_PA, 180, "PA"),
    "119": Direction(_PA_ON_SIDE, 115, "PA"),
    "12": Direction(_AP, 115, "AP"),
    "129": Direction(_AP_ON_SIDE, 115, "AP"),
    "12f": Direction(_AP, 115, "AP", (24, 0, 0), (4, 3, 4)),
    "21": Direction(_FACING_LEFT, 150, "LL"),
    "22": Direction(_FACING_RIGHT, 150, "RL"),
    "23": Direction(_FACING_LEFT, 115, "ML"),
    "24": Direction(_FACING_RIGHT, 115, "LM"),
    "31": Direction(_FROM_ABOVE, 65, "CC"),
    "32": Direction(_FROM_BELOW, 100, "CAUDOCRANIAL", (0, 0, 0), (6, 4, 4)),
    "40": Direction(_AP, 115, "", (30, 0, 35), (8, 5, 8)),
    "41": Direction(_FACING_RIGHT, 65, "MLO"),
    "42": Direction(_PA, 115, "PA", (-4, 0, 0), (4, 2.5, 2.5)),
    "43": Direction(_PA, 115, "PA", (-40, 0, 0), (4, 2.5, 2.5)),
    "46": Direction(_AP, 115, "", (-82, 0, 0), (5, 3, 3)),
    "49": Direction(_AP, 115, "RAO", (0, 0, 42), (3, 3, 5)),
    "4a": Direction(_AP, 115, "LAO", (0, 0, -42), (3, 3, 5)),
    "4b": Direction(_AP, 115, "AP", (32, 0, 0), (4, 2.5, 2.5)),
    "foot:11": Direction(_BEHIND_HEEL, 115, "PA", (0, 0, 0), (6, 3, 4)),
    "foot:12": Direction(_ON_SOLE, 115, "AP"),
    "foot:49": Direction(_ON_SOLE, 115, "RAO", (0, 38, 0), (3, 5, 3)),
    "foot:4a": Direction(_ON_SOLE, 115, "LAO", (0, -38, 0), (3, 5, 3)),
    "ear:21": Direction(_FACING_LEFT, 115, "LL", (0, 24, 8), (2.5, 4, 4)),
    "ear:22": Direction(_FACING_RIGHT, 115, "RL", (0, -24, -8), (2.5, 4, 4)),
    "hip:23": Direction(_AP, 115, "", (0, 0, 18), (3, 3, 5)),
    "blade:23": Direction(_AP, 115, "", (0, 0, -58), (4, 4, 6)),
}

_MIRRORED = {"49": "4a", "4a": "49"}


def direction(angle: str, frame: str, mirrored: bool, rng: np.random.Generator | None = None) -> Direction | None:
    """The direction of a code, None if it is not drawn.

    Parameters
    ----------
    angle : the direction axis; where it is only sagittal, `rng` says from which side.
    frame : how the part lies, as in `DIRECTIONS`.
    mirrored : whether the picture is mirrored afterwards, as that of a right limb; an oblique view of it is then
        the other one.
    rng : draws what the code leaves open; without it the first possibility stands.
    """
    if angle.startswith("20"):
        angle = "21" if rng is None or rng.random() < 0.5 else "22"
    if angle.startswith("5"):
        angle = "12"
    if mirrored:
        angle = _MIRRORED.get(angle[:2], angle)
    return (longest(DIRECTIONS, f"{frame}:{angle}") if frame else None) or longest(DIRECTIONS, angle)


def longest(table: Mapping[str, Value], text: str) -> Value | None:
    """The entry under the longest key that `text` begins with."""
    keys = [key for key in table if text.startswith(key)]
    return table[max(keys, key=len)] if keys else None

"""The parts that regions are put together from: flesh, bones, fingers, vertebrae.

Coefficients are for about 60 keV (breast: 20 keV), 1/cm, relative to the soft tissue around; rounded from the
tables of NIST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from radretrieval.phantom.bodies import Body, Vector, ball, combed, maybe, rod

Place = NDArray[np.float64]

SOFT = 0.20
CORTEX = 0.34
SPONGY = 0.20
AIR = -0.20
LUNG = -0.15
MARROW = -0.16
METAL = 2.5
ADIPOSE, GLAND, CALCIUM = 0.45, 0.33, 6.0
BARIUM, IODINE = 0.9, 0.4
PLASTER = 0.35


def flesh_ball(centre: Vector, half: Vector) -> Body:
    """An ellipsoid of the patient's outline."""
    return replace(ball(SOFT, centre, half), union="flesh")


def flesh_rod(start: Vector, end: Vector, radius: float, depth: float | None = None) -> Body:
    """A cylinder of the patient's outline."""
    return replace(rod(SOFT, start, end, radius, depth), union="flesh")


def cloud(coefficient: float, centre: Vector, half: Vector, tilt: Vector = (0, 0, 0), loose: float = 3) -> Body:
    """A soft-edged ellipsoid; its coefficient is that of its middle."""
    return replace(ball(coefficient, centre, half, tilt, loose=loose), fuzzy=True)


def spongy(centre: Vector, half: Vector | float, coefficient: float = SPONGY, tilt: Vector = (0, 0, 0)) -> Body:
    """A piece of spongy bone; pieces that overlap are one."""
    return replace(ball(coefficient, centre, half, tilt), union="bone")


def spindle(coefficient: float, start: Vector, end: Vector, radius: float, depth: float, stretch: float = 1.5) -> Body:
    """An ellipsoid along a line, which it overshoots: thick in its middle, as muscles are."""
    straight = rod(coefficient, start, end, radius, depth)
    width, height, half = straight.half
    return replace(straight, half=(width, height, stretch * half), cylinder=False)


def limb(start: Vector, end: Vector, radius: float, depth: float) -> list[Body]:
    """The flesh of a limb between two joints."""
    return [replace(spindle(SOFT, start, end, radius * 1.06, depth * 1.06), union="flesh", loose=0)]


def bone(start: Vector, end: Vector, radius: float, head: float = 1.35, hollow: float = 0.55) -> list[Body]:
    """A long bone: a cortical tube with a marrow cavity and a rounded spongy head at each end."""
    shaft = [replace(rod(CORTEX, start, end, radius), union="bone"), rod(MARROW, start, end, radius * hollow)]
    heads = [spongy(place, radius * head) for place in (start, end)]
    line = np.subtract(end, start)
    if np.linalg.norm(line) > 12 * radius:  # a long bone widens towards its heads
        for place, inwards in ((start, 0.16), (end, -0.16)):
            inner = point(np.add(place, inwards * line))
            heads.append(
                replace(spindle(SPONGY, place, inner, radius * (0.4 + 0.6 * head), radius * 1.1), union="bone")
            )
    return [*shaft, *heads]


def both(*bodies: Body) -> list[Body]:
    """The bodies and their mirror images across the median plane."""
    return [*bodies, *map(_mirrored, bodies)]


def _mirrored(body: Body) -> Body:
    axes = body.axes.copy()
    axes[0] *= -1
    within = None if body.within is None else _mirrored(body.within)
    return replace(body, centre=(-body.centre[0], *body.centre[1:]), axes=axes, within=within)


def column(middle: Vector, half: Vector, period: float, share: float, tilt: float = 0, dense: float = 1) -> list[Body]:
    """Vertebral bodies, their arches and their spinous processes along z, straight, in a few bodies."""
    x, y, z = middle
    width, depth, length = half
    up: Vector = (0, tilt, 1)
    vertebrae = rod(SPONGY * dense, (x, y, z - length), (x, y, z + length), width, depth)
    rim = rod(0.06 * dense, (x, y, z - length), (x, y, z + length), width * 1.06, depth * 1.06)
    spine = rod(0.16 * dense, (x, y + 2.2 * depth, z - length), (x, y + 2.2 * depth, z + length), 0.3, 0.9 * depth)
    process = rod(0.10 * dense, (x, y + depth, z - length), (x, y + depth, z + length), 1.8 * width, 0.35 * depth)
    arch = x + 0.6 * width, y + 1.2 * depth
    pedicle = rod(0.24 * dense, (*arch, z - length), (*arch, z + length), 0.2 * width, 0.5 * depth)
    return [
        combed(vertebrae, up, period, share),
        combed(rim, up, period, share),
        combed(spine, (0, 0.5, 1), period, 0.45),
        combed(process, up, period, 0.25),
        *(combed(body, up, period, 0.3) for body in both(pedicle)),
    ]


def digit(
    base: Vector,
    toward: Vector,
    lengths: tuple[float, ...],
    radius: float,
    flesh: float,
    curl: Vector = (0, 0, 0),
    growth: float = 0.05,
) -> list[Body]:
    """A finger or toe: bones in a row from `base`, and their flesh.

    `curl` is added to the direction after each bone; `growth` is the gap at a joint beyond the bone's round
    head, which in a child is wide.
    """
    bottom, along = np.array(base, float), np.array(toward, float)
    bodies: list[Body] = []
    places: list[tuple[Place, Place]] = []
    for i, length in enumerate(lengths):
        along = along / np.linalg.norm(along)
        thick = radius * 0.86**i
        gap = 0.3 * thick + growth
        top = bottom + along * length
        bodies += bone(point(bottom + along * gap), point(top - along * gap), thick, 1.45, 0.5)
        places.append((bottom + along * length * 0.7, top))
        bottom, along = top, along + np.array(curl, float)
    covers = [flesh_rod(point(start), point(end), flesh) for start, end in _joined(places)]
    return [*covers, flesh_ball(point(bottom), (flesh, flesh, flesh)), *bodies]


def _joined(places: list[tuple[Place, Place]]) -> list[tuple[Place, Place]]:
    """From bone to bone without a gap; one piece where the finger is straight."""
    first, last = places[0], places[-1]
    bend = np.linalg.norm(np.cross(places[0][1] - places[0][0], last[1] - first[0]))
    if bend < 0.3:
        return [(first[0], last[1])]
    ends = [first[0], *(end for _, end in places)]
    return list(pairwise(ends))


def point(place: Sequence[float] | Place) -> Vector:
    """Three plain numbers."""
    x, y, z = (float(value) for value in place)
    return x, y, z


def vertebrae(
    curve: Sequence[tuple[float, float]], count: int, low: Vector, high: Vector, share: float = 0.8, dense: float = 1
) -> list[Body]:
    """A curved spine in the median plane, each vertebra with arch and processes.

    Parameters
    ----------
    curve : (y, z) of points that it runs through, from below.
    count : how many vertebrae.
    low, high : half width, half depth of the body and length of the spinous process, at either end.
    share : of the spine's length that is bone; the rest is discs.
    dense : attenuation relative to ordinary bone.
    """
    nodes = np.array(curve, float)
    knots = np.append(0, np.cumsum(np.hypot(*np.diff(nodes, axis=0).T)))
    smooth = np.polynomial.Polynomial.fit(knots, nodes[:, 0], min(len(curve) - 1, 3))
    upright = np.polynomial.Polynomial.fit(knots, nodes[:, 1], min(len(curve) - 1, 3))
    step = knots[-1] / count
    bodies: list[Body] = []
    for i in range(count):
        place = (i + 0.5) * step
        along = np.array([0, smooth.deriv()(place), upright.deriv()(place)])
        along /= np.linalg.norm(along)
        size = np.array(low) + (np.array(high) - low) * i / max(count - 1, 1)
        middle = np.array([0, smooth(place), upright(place)])
        bodies += _vertebra(middle, along, step * share / 2, point(size), dense)
    return bodies


def _vertebra(middle: Place, up: Place, half: float, size: Vector, dense: float) -> list[Body]:
    width, depth, process = size
    back = np.array([0, up[2], -up[1]])
    side = np.array([1.0, 0, 0])

    def at(right: float, behind: float, above: float) -> Vector:
        return point(middle + right * side + behind * back + above * up)

    arch = at(0.62 * width, 1.3 * depth, 0.35 * half), at(0.55 * width, 2.0 * depth, -0.2 * half)
    across = at(0.6 * width, 1.6 * depth, 0.25 * half), at(1.75 * width, 1.8 * depth, 0.35 * half)
    return [
        rod(SPONGY * 1.25 * dense, at(0, 0, -half), at(0, 0, half), width, depth),
        rod(-SPONGY * 0.7 * dense, at(0, 0, -half * 0.86), at(0, 0, half * 0.86), width * 0.93, depth * 0.93),
        rod(0.22, at(0, 1.7 * depth, 0), at(0, 1.9 * depth + process, -0.9 * half), 0.18 * width, 0.45 * half),
        *both(
            rod(0.19 * dense, *arch, 0.2 * width, 0.5 * half),
            rod(0.16, *across, 0.22 * half, 0.25 * half),
        ),
    ]


def tube(
    nodes: Sequence[Vector], radius: float, coefficient: float, knobs: float = 1.3, loose: float = 3
) -> list[Body]:
    """A bowel, a vessel or a ureter full of contrast agent: balls on a line, `knobs` radii apart."""
    line = np.array(nodes, float)
    knots = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    count = max(int(knots[-1] / (knobs * radius)), 2)
    steps = np.linspace(0, knots[-1], count)
    places = np.stack([np.interp(steps, knots, line[:, axis]) for axis in range(3)], axis=1)
    sizes = radius * (1 + 0.12 * np.sin(2.4 * np.arange(count)))
    return [
        replace(ball(coefficient, point(place), float(size), loose=loose), union=f"contrast {coefficient}")
        for place, size in zip(places, sizes, strict=True)
    ]


def level(centre: Vector, radius: float, up: Vector = (0, 0, 1)) -> Body:
    """Gas over fluid in a bowel: half a ball with a flat face below."""
    top = point(np.array(centre) + 1.2 * radius * np.array(up))
    return ball(AIR, centre, (radius, radius, radius), within=rod(0, centre, top, 1.3 * radius), loose=1)


def plate(chance: float, start: Vector, end: Vector, screws: int = 5) -> list[Body]:
    """An osteosynthesis: a plate along a bone, with screws across it; some patients have one."""
    line = np.linspace(start, end, screws)
    bolts = [rod(METAL, point(place - (0.3, 0, 0)), point(place - (2.2, -0.2, 0)), 0.16) for place in line]
    return maybe(chance, "plate", rod(METAL * 0.8, start, end, 0.16, 0.5), *bolts)


def plaster(chance: float, start: Vector, end: Vector, radius: float, depth: float) -> list[Body]:
    """A plaster round a limb; some patients have one."""
    return maybe(
        chance,
        "plaster",
        rod(PLASTER, start, end, radius + 0.7, depth + 0.7),
        rod(-PLASTER, start, end, radius + 0.1, depth + 0.1),
    )

"""The parts that regions are put together from: flesh, bones, fingers, vertebrae.

Coefficients are for about 60 keV (breast: 20 keV), 1/cm, relative to the soft tissue around; rounded from the
tables of NIST.
"""

from __future__ import annotations

from dataclasses import replace

from radretrieval.phantom.bodies import Body, Vector, ball, combed, rod

SOFT = 0.20
CORTEX = 0.34
SPONGY = 0.20
AIR = -0.20
LUNG = -0.15
MARROW = -0.16
METAL = 2.5
ADIPOSE, GLAND, CALCIUM = 0.45, 0.33, 6.0


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


def limb(start: Vector, end: Vector, radius: float, depth: float) -> list[Body]:
    """The flesh of a limb, its ends rounded."""
    ends = [flesh_ball(place, (radius, depth, radius)) for place in (start, end)]
    return [replace(part, loose=0) for part in (flesh_rod(start, end, radius, depth), *ends)]


def bone(start: Vector, end: Vector, radius: float, head: float = 1.35, hollow: float = 0.55) -> list[Body]:
    """A long bone: a cortical tube with a marrow cavity and a rounded spongy head at each end."""
    shaft = [replace(rod(CORTEX, start, end, radius), union="bone"), rod(MARROW, start, end, radius * hollow)]
    return [*shaft, *(spongy(place, radius * head) for place in (start, end))]


def both(*bodies: Body) -> list[Body]:
    """The bodies and their mirror images across the median plane."""
    mirrored = []
    for body in bodies:
        axes = body.axes.copy()
        axes[0] *= -1
        mirrored.append(replace(body, centre=(-body.centre[0], *body.centre[1:]), axes=axes))
    return [*bodies, *mirrored]


def column(middle: Vector, half: Vector, period: float, share: float, tilt: float = 0) -> list[Body]:
    """Vertebral bodies, their arches and their spinous processes along z."""
    x, y, z = middle
    width, depth, length = half
    up: Vector = (0, tilt, 1)
    vertebrae = rod(SPONGY, (x, y, z - length), (x, y, z + length), width, depth)
    rim = rod(0.06, (x, y, z - length), (x, y, z + length), width * 1.06, depth * 1.06)
    spine = rod(0.16, (x, y + 2.2 * depth, z - length), (x, y + 2.2 * depth, z + length), 0.3, 0.9 * depth)
    process = rod(0.10, (x, y + depth, z - length), (x, y + depth, z + length), 1.8 * width, 0.35 * depth)
    arch = x + 0.6 * width, y + 1.2 * depth
    pedicle = rod(0.24, (*arch, z - length), (*arch, z + length), 0.2 * width, 0.5 * depth)
    return [
        combed(vertebrae, up, period, share),
        combed(rim, up, period, share),
        combed(spine, (0, 0.5, 1), period, 0.45),
        combed(process, up, period, 0.25),
        *(combed(body, up, period, 0.3) for body in both(pedicle)),
    ]


def digit(base: Vector, lengths: tuple[float, ...], lean: float, radius: float, flesh: float) -> list[Body]:
    """A finger: bones in a row from `base` upwards, leaning sideways by `lean` cm per cm, and their flesh."""
    scale = (1 + lean**2) ** 0.5
    x, y, z = base
    bodies, bottom = [], (x, y, z)
    for i, length in enumerate(lengths):
        thick = radius * 0.86**i
        gap = 0.3 * thick + 0.05
        top = (bottom[0] + lean * length / scale, y, bottom[2] + length / scale)
        first = (bottom[0] + lean * gap / scale, y, bottom[2] + gap / scale)
        bodies += bone(first, (top[0] - lean * gap / scale, y, top[2] - gap / scale), thick, 1.45, 0.5)
        bottom = top
    start = (x + lean * lengths[0] * 0.7 / scale, y, z + lengths[0] * 0.7 / scale)
    tip = (bottom[0], y, bottom[2])
    return [flesh_rod(start, tip, flesh), flesh_ball(tip, (flesh, flesh, flesh)), *bodies]

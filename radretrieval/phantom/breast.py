"""The bodies of the breast, the left one, compressed between two plates."""

from __future__ import annotations

from dataclasses import replace

from radretrieval.phantom.bodies import Body, Vector, ball, maybe, rod
from radretrieval.phantom.parts import ADIPOSE, CALCIUM, GLAND, METAL, cloud


def breast(half: Vector, glands: float = 1) -> list[Body]:
    """Half the thickness is the smallest of the half-axes; `glands` is how dense it is."""
    width, _, height = (0.42 * axis for axis in half)
    places = [(0, 0), (1, 0), (-1, 0.3), (0.4, 1), (-0.4, -1), (0.9, -0.8), (-0.9, 0.9)]
    lobes = [
        cloud(
            GLAND * glands, (width * x, -3.0 - 1.5 * (k % 3), height * z), (1.6, 2.6, 1.2), (19 * k, 31 * k, 47 * k), 7
        )
        for k, (x, z) in enumerate(places)
    ]
    strands = [
        cloud(
            GLAND,
            (2 * width * _spread(0.618 * k), -4.5 + 0.5 * (k % 5), 2 * height * _spread(0.382 * k)),
            (0.25, 3.2, 0.25),
            (14 * (k % 5) - 28, 0, 18 * (k % 4) - 27),
            5,
        )
        for k in range(16)
    ]
    calcifications = [
        ball(CALCIUM, (0.4 + 0.5 * _spread(0.618 * k), -4 + _spread(0.37 * k), 0.3 * k - 0.6), 0.06, loose=9)
        for k in range(5)
    ]
    return [
        replace(ball(ADIPOSE, (0, 0, 0), half), union="flesh"),
        cloud(GLAND * 0.6 * glands, (0, -3.6, 0), (half[0] * 0.75, 5.4, half[2] * 0.75), loose=5),
        *lobes,
        *strands,
        ball(0.5, (0, -half[1], 0), (0.6, 0.6, 0.6)),
        *maybe(0.35, "calcifications", *calcifications),
        *maybe(0.15, "mass", cloud(GLAND * 2, (0.8, -4.5, 0.4), (0.9, 0.9, 0.8), loose=25)),
        *maybe(0.08, "wire", rod(METAL, (1.5, -9, 0.5), (0.5, -4, 0), 0.06)),
    ]  # fmt: skip


def _spread(position: float) -> float:
    """Evenly filled −½…½ for multiples of an irrational number."""
    return position % 1 - 0.5


def breast_from_above(sway: float = 0) -> list[Body]:
    """Craniocaudal."""
    return breast((8.0, 9.6, 2.6), 1 + 0.45 * sway)


def breast_oblique(sway: float = 0) -> list[Body]:
    """Mediolateral oblique: the pectoral muscle comes into the field."""
    muscle = ball(0.45, (0, 1.5, 8), (1.6, 4.6, 14), (18, 0, 0))
    return [*breast((2.6, 9.2, 8.0), 1 + 0.45 * sway), muscle]

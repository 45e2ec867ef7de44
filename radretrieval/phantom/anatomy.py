"""What stands where in the body: one list of bodies for each region of the IRMA code's anatomy axis.

Shapes and sizes are a draughtsman's, not an atlas: enough to recognise the region. Limbs and breasts are
drawn as left ones; right ones are their mirror images. Hands and feet lie as the film shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from radretrieval.phantom.bodies import Body, Scene, Vector, ball, combed, rod
from radretrieval.phantom.parts import (
    ADIPOSE,
    AIR,
    CALCIUM,
    CORTEX,
    GLAND,
    LUNG,
    SPONGY,
    bone,
    both,
    cloud,
    column,
    digit,
    flesh_ball,
    flesh_rod,
    limb,
    spongy,
)
from radretrieval.phantom.trunk import chest_supine, chest_upright, lumbar, pelvis, trunk


@dataclass(frozen=True)
class Region:
    """One region: its bodies, the field of view (side, cm) and the point in its middle."""

    bodies: Callable[[], list[Body]]
    field: float
    middle: Vector = (0, 0, 0)


@cache
def scene(region: str) -> Scene:
    """The bodies of a region of `REGIONS`."""
    return Scene(REGIONS[region].bodies())


def _skull() -> list[Body]:
    teeth = ball(0.42, (0, -6.8, -8.6), (3.0, 2.0, 1.7)), ball(-0.42, (0, -5.9, -8.6), (2.4, 1.9, 1.9))
    sutures = [ball(-0.08, (2 * i - 4, 2, 7.8), (0.12, 6, 0.9)) for i in range(5)]
    return [
        flesh_ball((0, 0.8, 1.5), (8.1, 10.1, 9.2)),
        flesh_ball((0, -4, -6), (6.3, 6.2, 7.4)),
        flesh_rod((0, 2.5, -4), (0, 3, -26), 6, 6),
        ball(CORTEX, (0, 0.8, 1.6), (7.7, 9.7, 8.7)),
        ball(-CORTEX, (0, 0.8, 1.6), (7.15, 9.1, 8.15)),
        *sutures,
        ball(SPONGY, (0, 0, -4.6), (5.8, 6.2, 0.6), (-12, 0, 0)),
        *both(
            ball(CORTEX * 1.1, (4.0, 1.5, -4.2), (2.7, 1.2, 1.0), (0, 8, 30)),
            ball(CORTEX * 0.9, (3.3, -7.2, -2.3), (2.4, 1.4, 2.1)),
            ball(-CORTEX * 1.25, (3.3, -7.2, -2.3), (1.95, 1.9, 1.7)),
            ball(AIR, (3.0, -5.6, -5.6), (1.5, 1.7, 1.6), loose=2),
            rod(CORTEX * 0.8, (5.2, -5.5, -4.4), (6.8, -1, -4.2), 0.45),
            rod(CORTEX * 0.9, (5.2, -0.5, -4.5), (4.9, -1, -9.5), 0.5, 1.5),
            rod(CORTEX, (4.9, -1.2, -9.6), (1.4, -7.3, -11.6), 0.75, 0.6),
            ball(AIR * 0.7, (5.4, 2.6, -5.6), (0.9, 1.2, 1.5)),
        ),
        ball(0.12, (0, -5.5, -6.8), (4.2, 2.6, 3.0)),
        rod(CORTEX, (-1.6, -7.3, -11.6), (1.6, -7.3, -11.6), 1.1, 0.6),
        *(combed(shell, (1, 0, 0), 0.72, 0.86) for shell in teeth),
        ball(AIR, (0, -7, -5), (1.3, 3, 2.2)),
        rod(0.3, (0, -7, -7), (0, -7, -2.6), 0.16, 2),
        ball(AIR, (0.2, -8, 0.8), (1.7, 0.7, 0.8), loose=2),
        ball(CORTEX * 0.5, (0, -1, -3.4), (0.9, 0.9, 0.4)),
        ball(AIR, (0, -2.6, -5), (1.2, 1.1, 0.9)),
        rod(AIR, (0, 0.2, -7), (0, 0.8, -20), 0.8),
        *column((0, 3.0, -13.5), (1.1, 0.9, 8.5), 1.75, 0.8),
    ]


def _neck() -> list[Body]:
    return [
        flesh_rod((0, 0.5, -10), (0, -0.5, 10), 6.2, 6.4),
        flesh_ball((0, -1, 12), (7.2, 9.5, 8)),
        flesh_ball((0, 1.5, -13), (19, 8, 6.5)),
        *column((0, 0.8, 0), (1.2, 0.95, 9), 1.8, 0.8, 0.15),
        *column((0, 1.6, -14), (1.5, 1.3, 5.2), 2.1, 0.8, -0.2),
        *both(
            rod(CORTEX * 0.9, (5, -1.5, 9.8), (4.8, -2, 6), 0.5, 1.4),
            rod(CORTEX, (4.8, -2.2, 6), (1, -8, 4.5), 0.7, 0.6),
            *bone((1.6, -5, -11.5), (13, -1, -9.5), 0.5),
            rod(CORTEX * 0.7, (2, 3, -10), (8, -1, -13.5), 0.45),
        ),
        ball(CORTEX, (0, 1, 14), (7.3, 8.8, 6.2)),
        ball(-CORTEX, (0, 1, 14), (6.7, 8.2, 5.9)),
        ball(SPONGY, (0, -7.2, 6.6), (2.6, 1.6, 1.6)),
        rod(AIR, (0, -2.2, 9), (0, -3.0, -2), 0.9, 0.8),
        rod(AIR, (0, -3.0, -2), (0, -1.5, -16), 0.8),
        ball(0.12, (0, -4.4, 1.6), (1.6, 0.5, 0.25), (20, 0, 0)),
        *both(ball(LUNG, (5, 1, -15.5), (3.4, 4, 4.6))),
    ]


def _hand() -> list[Body]:
    carpals = [
        *((-1.5, -4.4, 0.75), (-0.3, -4.6, 0.85), (1.1, -4.5, 0.8), (-1.9, -3.9, 0.45)),
        *((-1.5, -3.2, 0.75), (-0.4, -3.1, 0.85), (0.7, -3.2, 0.7), (1.7, -3.3, 0.7)),
    ]
    return [
        flesh_ball((0, 0, -1.2), (4.3, 1.3, 5.6)),
        flesh_rod((0, 0, -4), (0.1, 0, -16), 3.1, 2.3),
        *digit((-1.9, 0, -2.4), (5.2, 3.3, 1.9, 1.6), -0.26, 0.36, 0.75),
        *digit((-0.7, 0, -2.2), (5.8, 4.1, 2.6, 1.8), -0.09, 0.40, 0.82),
        *digit((0.5, 0, -2.1), (6.3, 4.5, 2.8, 1.8), 0.03, 0.42, 0.85),
        *digit((1.6, 0, -2.2), (6.4, 4.0, 2.3, 1.7), 0.15, 0.42, 0.85),
        *digit((2.3, 0, -2.9), (4.4, 3.2, 2.3), 0.95, 0.46, 0.9),
        *(ball(SPONGY * 1.4, (x, 0, z), (r, r, r * 0.95)) for x, z, r in carpals),
        *bone((0.9, 0, -5.9), (1.3, 0, -17), 0.85, 1.45),
        *bone((-1.6, 0, -5.9), (-1.3, 0, -17), 0.55, 1.35),
    ]


def _foot() -> list[Body]:
    tarsals = [(1.5, -4.4, 1.0, 1.1), (0.3, -4.3, 0.8, 1.0), (-0.7, -4.4, 0.8, 1.0), (-2.0, -5.2, 1.2, 1.5),
               (1.0, -6.3, 1.8, 0.9)]  # fmt: skip
    return [
        flesh_ball((0, 0, -1), (4.2, 2.4, 9.5)),
        flesh_ball((-0.1, 1, -9.5), (3.5, 3.0, 5.2)),
        *digit((1.9, 0, -3.3), (6.2, 3.1, 2.2), 0.06, 0.62, 1.1),
        *digit((0.7, 0, -3.2), (6.9, 2.4, 1.2, 0.9), 0.02, 0.36, 0.65),
        *digit((-0.3, 0, -3.4), (6.5, 2.2, 1.0, 0.8), -0.07, 0.34, 0.6),
        *digit((-1.3, 0, -3.7), (6.2, 2.0, 0.9, 0.7), -0.15, 0.34, 0.6),
        *digit((-2.3, 0, -4.3), (6.0, 1.8, 0.8, 0.7), -0.22, 0.36, 0.62),
        *(ball(SPONGY, (x, 1, 2.5), 0.35) for x in (1.7, 2.5)),
        *(spongy((x, 0, z), (rx, 1.1, rz)) for x, z, rx, rz in tarsals),
        spongy((0.8, 1, -8.6), (1.9, 1.8, 2.3)),
        spongy((-0.9, 2, -9.6), (1.7, 1.8, 3.4)),
        *bone((0.6, 2, -9.2), (0.6, 6, -13), 1.1, 1.2),
    ]


def _knee() -> list[Body]:
    return [
        *limb((0.1, 0.5, 3), (1.6, 0.4, 22), 6.0, 6.2),
        *limb((0.1, 0.9, -3), (0.4, 1.4, -22), 5.3, 5.6),
        flesh_ball((0, -0.4, 0.5), (5.9, 5.9, 7)),
        *bone((0.1, 0.2, 3.5), (2.2, -0.4, 20), 1.5, 1.25, 0.6),
        spongy((0, 0.2, 4.4), (2.7, 2.1, 3.6)),
        *(spongy((x, 1.0, 2.0), (2.0, 3.0, 2.1)) for x in (-2.1, 2.2)),
        spongy((0.1, 0.2, 2.6), (3.3, 2.0, 1.9)),
        spongy((0.1, 0.5, -1.3), (4.2, 2.9, 0.9), SPONGY * 1.1),
        spongy((0.1, 0.3, -2.6), (3.5, 2.5, 2.3)),
        spongy((0.1, -0.2, -3.8), (2.2, 2.0, 3.4)),
        spongy((0.1, 0.5, -0.4), (0.7, 0.9, 0.7)),
        *bone((0.2, 0, -4.0), (0.1, 0.2, -20), 1.35, 1.15, 0.55),
        *bone((3.9, 2.2, -3.4), (3.5, 2.0, -20), 0.65, 1.6),
        ball(SPONGY * 0.9, (0.3, -3.6, 2.8), (2.0, 0.95, 2.1)),
        ball(0.03, (0.2, -3.8, -1.6), (1.2, 0.5, 2.6)),
    ]


def _breast(half: Vector) -> list[Body]:
    """Compressed between two plates: half the thickness is the smallest of the half-axes."""
    width, _, height = (0.42 * axis for axis in half)
    places = [(0, 0), (1, 0), (-1, 0.3), (0.4, 1), (-0.4, -1), (0.9, -0.8), (-0.9, 0.9)]
    lobes = [
        cloud(GLAND, (width * x, -3.0 - 1.5 * (k % 3), height * z), (1.6, 2.6, 1.2), (19 * k, 31 * k, 47 * k), 7)
        for k, (x, z) in enumerate(places)
    ]
    strands = [
        cloud(GLAND, (2 * width * _spread(0.618 * k), -4.5 + 0.5 * (k % 5), 2 * height * _spread(0.382 * k)),
              (0.25, 3.2, 0.25), (14 * (k % 5) - 28, 0, 18 * (k % 4) - 27), 5)
        for k in range(16)
    ]  # fmt: skip
    return [
        replace(ball(ADIPOSE, (0, 0, 0), half), union="flesh"),
        cloud(GLAND * 0.6, (0, -3.6, 0), (half[0] * 0.75, 5.4, half[2] * 0.75), loose=5),
        *lobes,
        *strands,
        ball(0.5, (0, -half[1], 0), (0.6, 0.6, 0.6)),
        ball(CALCIUM, (0.3 * width, -4.5, 0.5), 0.05, loose=9),
        ball(CALCIUM, (-0.4 * width, -3, -1), 0.07, loose=9),
    ]


def _spread(position: float) -> float:
    """Evenly filled −½…½ for multiples of an irrational number."""
    return position % 1 - 0.5


def _breast_from_above() -> list[Body]:
    return _breast((8.0, 9.6, 2.6))


def _breast_oblique() -> list[Body]:
    muscle = ball(0.45, (0, 1.5, 8), (1.6, 4.6, 14), (18, 0, 0))
    return [*_breast((2.6, 9.2, 8.0)), muscle]


REGIONS = {
    "chest": Region(chest_upright, 39.0, (0, 0, -1.5)),
    "chest, lateral": Region(trunk, 37.0, (0, 0, -1.5)),
    "chest, supine": Region(chest_supine, 39.0, (0, 0, -1.5)),
    "lumbar spine": Region(lumbar, 36.0, (0, 1, 1)),
    "pelvis": Region(pelvis, 40.0, (0, 0, 0.5)),
    "skull": Region(_skull, 26.0, (0, -0.5, -1.5)),
    "cervical spine": Region(_neck, 24.0, (0, -1, 0)),
    "hand": Region(_hand, 24.0, (0, 0, 0.5)),
    "foot": Region(_foot, 25.0, (0, 0, -2.5)),
    "knee": Region(_knee, 23.0, (0, 0, 0)),
    "breast": Region(_breast_from_above, 18.0, (0, -8.6, 0)),
    "breast, oblique": Region(_breast_oblique, 18.0, (0, -8.6, 0.8)),
}

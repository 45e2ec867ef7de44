"""The bodies of the head and the neck."""

from __future__ import annotations

from radretrieval.phantom.bodies import Body, ball, combed, maybe, rod, turned
from radretrieval.phantom.parts import (
    AIR,
    CORTEX,
    LUNG,
    METAL,
    SPONGY,
    bone,
    both,
    flesh_ball,
    limb,
    vertebrae,
)


def skull(sway: float = 0, bite: float = 0) -> list[Body]:
    """Head and upper neck; `bite`: how many degrees the mouth is open."""
    return [
        *limb((0, 2.5, -6), (0, 3, -28), 6.4, 6.4),
        *vault(),
        *face(),
        *turned(mandible(), (bite, 0, 0), (0, -1, -4.6)),
        ball(0.12, (0, -5.5, -6.8), (4.2, 2.6, 3.0)),
        rod(AIR, (0, 0.2, -7), (0, 0.8, -20), 0.8),
        *vertebrae([(2.2 + sway, -20), (2.9, -13), (2.6, -6)], 6, (1.25, 0.9, 2.2), (1.1, 0.8, 1.6)),
        *maybe(0.1, "clips", *both(ball(METAL, (4.6, 0.5, -11), (0.35, 0.12, 0.5)))),
    ]


def skull_open(sway: float = 0) -> list[Body]:
    """The mouth wide open, to see the dens."""
    return skull(sway, 24)


def vault() -> list[Body]:
    """The neurocranium with its base."""
    above = rod(0, (0, 0, -4.6), (0, 4, 10.9), 14)  # the shell ends at the base, which falls towards the back
    return [
        flesh_ball((0, 0.8, 1.5), (8.1, 10.1, 9.2)),
        ball(CORTEX, (0, 0.8, 1.6), (7.7, 9.7, 8.7), within=above),
        ball(-CORTEX, (0, 0.8, 1.6), (7.15, 9.1, 8.15), within=above),
        ball(-0.10, (0, 2, 6.5), (0.1, 7, 2.4)),
        ball(SPONGY * 0.5, (0, 0, -4.6), (5.8, 6.2, 0.6), (-12, 0, 0)),
        ball(SPONGY * 0.35, (0, 5.5, -5.2), (4.5, 4.2, 0.7), (28, 0, 0)),
        ball(-SPONGY, (0, 4.2, -5.6), (1.6, 1.9, 1.0)),
        *both(
            ball(CORTEX * 0.7, (4.0, 1.5, -4.2), (2.7, 1.1, 0.9), (0, 8, 30)),
            ball(AIR * 0.7, (5.4, 2.6, -5.6), (0.9, 1.2, 1.5)),
            ball(-CORTEX * 0.9, (3.6, 1.6, -4.2), (0.5, 0.35, 0.35)),
            ball(-0.06, (7.3, -2, 3), (0.4, 0.25, 4.2), (25, 0, 0)),
        ),
        ball(CORTEX * 0.5, (0, -1, -3.4), (0.9, 0.9, 0.4)),
        ball(AIR, (0, -2.6, -5), (1.2, 1.1, 0.9)),
        ball(0.25, (0, 1, 4), (0.25, 0.3, 0.3), loose=3),
    ]


def face() -> list[Body]:
    """The facial cranium without the mandible."""
    wall = ball(CORTEX * 0.9, (3.3, -7.2, -2.3), (2.4, 1.4, 2.1))
    return [
        flesh_ball((0, -4, -6), (6.3, 6.2, 7.4)),
        flesh_ball((0, -10, -4.6), (1.3, 1.8, 2.0)),
        *both(
            wall,
            ball(-CORTEX, (3.3, -7.2, -2.3), (1.95, 1.9, 1.7), within=wall),
            ball(AIR, (3.0, -5.6, -5.6), (1.5, 1.7, 1.6), loose=2),
            rod(CORTEX * 0.8, (5.2, -5.5, -4.4), (6.8, -1, -4.2), 0.45),
        ),
        ball(AIR, (0, -7, -5), (1.3, 3, 2.2)),
        rod(0.3, (0, -7, -7), (0, -7, -2.6), 0.16, 2),
        ball(CORTEX, (0, -9.6, -2.6), (0.45, 0.8, 1.4), (25, 0, 0)),
        ball(AIR, (0.2, -8, 0.8), (1.7, 0.7, 0.8), loose=2),
        *teeth(-7.8),
    ]


def teeth(height: float) -> list[Body]:
    """One row of teeth on an arch."""
    front = rod(0.36, (-1.5, -7.9, height), (1.5, -7.9, height), 0.9, 0.3)
    sides = both(rod(0.36, (2.8, -3.2, height), (1.6, -7.7, height), 0.75, 0.4))
    return [combed(front, (1, 0, 0), 0.72, 0.84), *(combed(side, (0, 1, 0), 0.85, 0.84) for side in sides)]


def mandible() -> list[Body]:
    """The lower jaw with its teeth."""
    return [
        *both(
            rod(CORTEX * 0.9, (5.2, -0.5, -4.5), (4.9, -1, -9.5), 0.5, 1.5),
            rod(CORTEX, (4.9, -1.2, -9.6), (1.4, -7.3, -11.6), 0.75, 0.6),
            ball(CORTEX, (5.2, -0.7, -4.4), (0.9, 0.55, 0.6)),
        ),
        rod(CORTEX, (-1.6, -7.3, -11.6), (1.6, -7.3, -11.6), 1.1, 0.6),
        *teeth(-9.7),
        *maybe(0.3, "fillings", *both(ball(METAL, (2.4, -5, -9.2), 0.3)), ball(METAL, (2.5, -5, -8.4), 0.3)),
    ]


def neck(sway: float = 0, bend: float = 0) -> list[Body]:
    """Neck and shoulders; `bend` is how many degrees the head is bowed (negative: thrown back)."""
    lean = -0.062 * bend
    joint = (0, 0.8 + 0.45 * lean, 6.5)
    shift = (0, 0.9 * lean, -abs(bend) * 0.02)
    curve = [(2.6, -15), (1.6, -9), (0.2 + 0.6 * sway + 0.25 * lean, -2), (0.6 + lean, 6.3 - abs(bend) * 0.02)]
    head = [
        flesh_ball((0, -1, 12), (7.2, 9.5, 8)),
        ball(CORTEX, (0, 1, 14), (7.3, 8.8, 6.2)),
        ball(-CORTEX, (0, 1, 14), (6.7, 8.2, 5.9)),
        *turned([*teeth(-9.7), *teeth(-7.9)], (0, 0, 0), shift=(0, -0.2, 15.4)),
        ball(AIR, (0, -5.5, 8.6), (1.2, 2.6, 1.6)),
        *both(
            rod(CORTEX * 0.9, (5, -1.5, 9.8), (4.8, -2, 6), 0.5, 1.4),
            rod(CORTEX, (4.8, -2.2, 6), (1, -8, 4.5), 0.7, 0.6),
        ),
    ]
    return [
        *limb((0, 1.0, -14), (0, -0.5 + 0.7 * lean, 12), 6.2, 6.6),
        flesh_ball((0, 1.5, -15), (20, 8, 8)),
        *turned(head, (bend, 0, 0), joint, shift),
        *vertebrae(curve, 10, (1.5, 1.15, 2.6), (1.15, 0.85, 1.5), dense=1.4),
        ball(SPONGY, (0, -0.2 + lean, 6.4), (0.5, 0.5, 1.1), (bend, 0, 0)),
        *both(
            *bone((1.6, -5, -11.5), (13, -1, -9.5), 0.5),
            rod(CORTEX * 0.7, (2, 3, -10), (8, -1, -13.5), 0.45),
            ball(LUNG, (5, 1, -15.5), (3.4, 4, 4.6)),
        ),
        rod(AIR, (0, -2.2 + lean, 9), (0, -3.0, -2), 0.9, 0.8),
        rod(AIR, (0, -3.0, -2), (0, -1.5, -16), 0.8),
        ball(0.12, (0, -4.4, 1.6), (1.6, 0.5, 0.25), (20, 0, 0)),
        *maybe(0.15, "chain", *both(rod(METAL, (0.2, -6.3, -9), (5, -4, -5), 0.07))),
    ]


def neck_bowed(sway: float = 0) -> list[Body]:
    """Inclination."""
    return neck(sway, 38)


def neck_thrown_back(sway: float = 0) -> list[Body]:
    """Reclination."""
    return neck(sway, -38)

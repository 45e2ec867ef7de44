"""The bodies of the leg: the left one, standing; the knee's middle is the origin."""

from __future__ import annotations

from radretrieval.phantom.bodies import Body, ball, maybe, rod, turned
from radretrieval.phantom.parts import (
    METAL,
    SPONGY,
    bone,
    digit,
    flesh_ball,
    limb,
    plaster,
    plate,
    spongy,
)

# x of the base, y, z, sideways direction, lengths, radius of the bones and of the flesh: big toe to small toe
_TOES = [
    (-1.2, -7.3, -42.6, -0.05, (6.0, 3.1, 2.2), 0.62, 1.1),
    (-0.1, -7.6, -42.5, -0.01, (6.8, 2.4, 1.2, 0.9), 0.36, 0.65),
    (0.9, -7.2, -42.9, 0.07, (6.4, 2.2, 1.0, 0.8), 0.34, 0.6),
    (1.8, -6.7, -43.4, 0.15, (6.0, 2.0, 0.9, 0.7), 0.34, 0.6),
    (2.7, -6.0, -44.0, 0.22, (5.8, 1.8, 0.8, 0.7), 0.36, 0.62),
]


def leg(sway: float = 0, bend: float = 0) -> list[Body]:
    """Thigh, knee bent by so many degrees, lower leg, ankle and foot."""
    return [*thigh(), *turned([*lower_leg(), *foot(sway)], (bend + 5 * sway, 0, 0), (0, 0.6, 1.6)), *patella()]


def leg_bent(sway: float = 0) -> list[Body]:
    """The knee a little bent, as it lies on its side."""
    return leg(2 * sway, 24)


def thigh() -> list[Body]:
    """Femur and hip joint, and their flesh."""
    return [
        *limb((0.1, 0.5, 4), (1.8, 0.4, 26), 6.4, 6.8),
        *limb((1.4, 0.4, 12), (2.2, 1.0, 42), 8.2, 8.4),
        flesh_ball((0, -0.3, 0.5), (5.7, 5.8, 6.5)),
        *bone((0.1, 0.2, 3.5), (3.4, -0.8, 35), 1.5, 1.25, 0.6),
        spongy((0, 0.2, 4.4), (2.7, 2.1, 3.6)),
        *(spongy((x, 1.0, 2.0), (2.0, 3.0, 2.1)) for x in (-2.1, 2.2)),
        spongy((0.1, 0.2, 2.6), (3.3, 2.0, 1.9)),
        spongy((4.0, 0.4, 36.5), (1.8, 1.9, 2.6)),
        spongy((1.6, 0.8, 33.5), (1.0, 0.9, 1.3)),
        rod(SPONGY, (3.0, 0, 35.5), (-1.2, -0.6, 39.5), 1.6),
        spongy((-1.6, -0.7, 40), 2.4, SPONGY * 1.4),
        spongy((-3.2, -0.4, 41), (3.0, 3.2, 3.6), SPONGY * 0.8),
        spongy((-4.0, 1.2, 34.5), (1.3, 1.5, 3.6), SPONGY, (0, 15, 0)),
        *plate(0.07, (2.6, -0.4, 6), (4.4, -0.8, 16), 6),
        *maybe(0.06, "nail", rod(METAL * 0.6, (0.4, 0, 6), (3.9, -0.8, 37), 0.55)),
    ]


def patella() -> list[Body]:
    """Kneecap and its ligament."""
    return [ball(SPONGY * 0.9, (0.3, -3.6, 2.8), (2.0, 0.95, 2.1)), ball(0.03, (0.2, -3.8, -1.6), (1.2, 0.5, 2.6))]


def lower_leg() -> list[Body]:
    """Tibia and fibula, and their flesh."""
    return [
        *limb((0.1, 0.9, -1), (0.4, 1.8, -24), 5.2, 5.6),
        spongy((0.1, 0.5, -1.3), (4.2, 2.9, 0.9), SPONGY * 1.1),
        spongy((0.1, 0.3, -2.6), (3.5, 2.5, 2.3)),
        spongy((0.1, -0.2, -3.8), (2.2, 2.0, 3.4)),
        spongy((0.1, 0.5, -0.4), (0.7, 0.9, 0.7)),
        *ankle(),
        *plate(0.08, (3.4, 1.2, -29), (3.3, 1, -38)),
        *plaster(0.07, (0.3, 1, -18), (0.3, 0.4, -38), 3.9, 4.1),
    ]


def ankle() -> list[Body]:
    """The shafts and the ankle's fork."""
    return [
        *limb((0.4, 0.8, -13), (0.3, 0.4, -37), 3.9, 4.2),
        flesh_ball((0.3, 0.3, -37), (3.4, 3.6, 5)),
        *bone((0.2, 0, -4.0), (0.1, 0.3, -36), 1.35, 1.15, 0.55),
        *bone((3.9, 2.2, -3.4), (2.6, 1.2, -37), 0.65, 1.45),
        spongy((0, 0.2, -37), (2.2, 2.0, 1.7)),
        spongy((-1.9, -0.2, -38.6), (0.7, 1.2, 1.3)),
        spongy((2.5, 0.9, -38.6), (0.8, 1.1, 2.0)),
    ]


def foot(sway: float = 0) -> list[Body]:
    """The foot, its toes to the front; `sway` lifts the toes."""
    toes = [
        body
        for x, y, z, lean, lengths, radius, flesh in _TOES
        for body in digit((x, y, z), (lean, -1, -0.3), lengths, radius, flesh, (0, 0, 0.28 + 0.15 * sway))
    ]
    return [
        flesh_ball((0.4, 1.6, -42.6), (3.1, 4.6, 3.2)),
        flesh_ball((0.4, -4.6, -42.4), (3.7, 7.2, 2.7)),
        flesh_ball((0.5, -10.5, -43.6), (4.3, 4.5, 1.9)),
        *toes,
        *(ball(SPONGY, (x, -12.4, -45.2), 0.35) for x in (-1.9, -0.9)),
        spongy((0, -0.6, -39.7), (1.8, 2.6, 1.1)),
        spongy((-0.3, -2.4, -40.5), (1.5, 1.5, 1.3)),
        spongy((0.7, 2.0, -42.9), (1.6, 3.7, 1.7), tilt=(12, 0, 0)),
        spongy((0.6, 4.4, -43.2), (1.6, 1.5, 1.9)),
        spongy((-0.7, -4.3, -41.2), (1.7, 0.8, 1.2)),
        spongy((2.1, -4.2, -43.0), (1.3, 1.6, 1.1)),
        *(spongy((x, -6.1, z), (0.7, 1.1, 0.9)) for x, z in ((-1.2, -42.2), (0.0, -42.0), (1.0, -42.4))),
    ]


def patella_from_below(sway: float = 0) -> list[Body]:
    """Thigh and kneecap with the lower leg bent out of the way: the rays run along the joint."""
    cartilage = (0.3, -4.2 - 0.3 * sway, 1.0)
    return [
        flesh_ball((0, -0.5, 1), (6.2, 6.0, 5)),
        *(spongy((x, 0.2, 1.5), (2.2, 3.0, 2.2)) for x in (-2.2, 2.3)),
        spongy((0, 0.6, 2.5), (3.2, 2.2, 2.5)),
        ball(SPONGY * 1.2, cartilage, (2.2, 0.9, 1.8), (0, 0, 6 * sway)),
        ball(SPONGY * 0.6, (0.3, -3.7 - 0.3 * sway, 1.0), (0.8, 0.7, 1.4)),
    ]


def foot_alone(sway: float = 0) -> list[Body]:
    """The foot, with the end of the lower leg in a side view."""
    return [*foot(sway), *ankle()]


def foot_on_film(sway: float = 0) -> list[Body]:
    """The foot as rays on its sole show it: the knee bent, the lower leg leans back out of most of the field."""
    return [*foot(sway), flesh_ball((0.3, 0.8, -40), (2.7, 3.6, 3.2)), spongy((0, 1.0, -38.6), (2.0, 1.7, 0.7))]

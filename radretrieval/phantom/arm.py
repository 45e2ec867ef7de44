"""The bodies of the arm: the left one; hand and forearm point upwards, the upper arm hangs."""

from __future__ import annotations

from radretrieval.phantom.bodies import Body, ball, combed, maybe, rod, turned
from radretrieval.phantom.parts import (
    CORTEX,
    LUNG,
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

_CARPALS = [
    *((-1.5, -4.4, 0.75), (-0.3, -4.6, 0.85), (1.1, -4.5, 0.8), (-1.9, -3.9, 0.45)),
    *((-1.5, -3.2, 0.75), (-0.4, -3.1, 0.85), (0.7, -3.2, 0.7), (1.7, -3.3, 0.7)),
]
# x and z of the base, lean, lengths, radius of the bones and of the flesh: little finger to index
_FINGERS = [
    (-1.9, -2.4, -0.26, (5.2, 3.3, 1.9, 1.6), 0.36, 0.75),
    (-0.7, -2.2, -0.09, (5.8, 4.1, 2.6, 1.8), 0.40, 0.82),
    (0.5, -2.1, 0.03, (6.3, 4.5, 2.8, 1.8), 0.42, 0.85),
    (1.6, -2.2, 0.15, (6.4, 4.0, 2.3, 1.7), 0.42, 0.85),
]


def hand(sway: float = 0, growth: float = 0) -> list[Body]:
    """Hand and forearm on the table, fingers up, the thumb to the right; `sway` spreads the fingers.

    `growth` is how wide the cartilage at the joints is, cm; the more of it, the shorter and plumper are the fingers.
    """
    spread, gap, short = 1 + 0.45 * sway, 0.05 + growth, 1 - 0.8 * growth
    carpals = [spongy((x, 0.05 * z, z), (r, 0.8 * r, r)) for x, z, r in _CARPALS]
    fingers = [
        body
        for x, z, lean, lengths, radius, flesh in _FINGERS
        for body in digit(
            (x, 0, z),
            (lean * spread, 0, 1),
            tuple(short * length for length in lengths),
            radius,
            flesh * (1 + growth),
            (0, 0.12, 0),
            gap,
        )
    ]
    return [
        flesh_ball((0.1, 0, -1.0), (3.8, 1.25, 5.4)),
        flesh_ball((1.8, 0.3, -2.2), (2.4, 1.3, 2.6)),
        *fingers,
        *digit((2.3, 0.2, -2.9), (0.95 - 0.3 * sway, 0.25, 1), (4.4, 3.2, 2.3), 0.46, 0.9, (0, 0.05, 0.1), gap),
        *carpals,
        *forearm(),
        *maybe(0.12, "ring", rod(METAL, (-1.35, 0, 5.2), (-1.4, 0, 5.6), 0.75)),
        *plaster(0.07, (0, 0, -4), (0, 0, -22), 3.4, 2.8),
    ]


def hand_of_child(sway: float = 0) -> list[Body]:
    """Wide joints, for cartilage throws no shadow; few carpal bones yet."""
    missing = {(x, z) for x, z, _ in _CARPALS[::2]}
    return [body for body in hand(sway, 0.22) if (body.centre[0], body.centre[2]) not in missing]


def forearm() -> list[Body]:
    """Radius, ulna and the end of the humerus, below the wrist."""
    return [
        *limb((0, 0, -1), (0.1, 0, -16), 3.2, 2.3),
        *limb((0.1, 0, -9), (0, 0, -32), 4.0, 3.5),
        *bone((0.9, 0, -6.6), (0.6, 0.2, -28.6), 0.72, 1.2),
        spongy((1.0, 0, -6.3), (1.5, 0.9, 1.0), SPONGY * 0.9),
        ball(SPONGY, (1.9, 0, -5.2), (0.4, 0.45, 0.7)),
        *bone((-1.6, 0.1, -6.5), (-0.9, 0.6, -30), 0.52, 1.25),
        spongy((-0.9, 0.8, -29.6), (1.1, 1.5, 2.1)),
        spongy((0, 0, -31.2), (2.9, 1.0, 1.0)),
        *bone((0, 0, -32.5), (0.2, 0, -46), 1.1, 1.1),
        *limb((0, 0, -29), (0, 0, -48), 4.4, 4.6),
        *plate(0.08, (1.7, -0.4, -9), (1.5, -0.4, -16)),
    ]


def finger(sway: float = 0) -> list[Body]:
    """One finger held out for a side view, the others clenched."""
    clenched = [
        body
        for k, (y, z) in enumerate([(-0.9, -0.2), (0.8, 0.1), (2.3, -0.2)])
        for body in (
            *bone((0.3 * k, y, z), (0.3 * k, y - 0.6, z + 3.0), 0.42),
            *bone((0.3 * k, y - 0.2, z + 3.2), (0.3 * k, y + 1.4, z + 1.6), 0.36),
            flesh_ball((0.3 * k, y, z + 1.8), (0.9, 1.5, 2.4)),
        )
    ]
    return [
        flesh_ball((0, 0.5, -3), (1.6, 3.6, 4.5)),
        *digit((0, -1.5, -3.5), (0, -0.12, 1), (5.2, 4.3, 2.6, 1.8), 0.42, 0.8, (0, 0.14 + 0.2 * sway, 0)),
        *clenched,
        *maybe(0.12, "ring", rod(METAL, (0, -2, 4.2), (0, -2, 4.5), 0.72)),
    ]


def elbow(sway: float = 0, bend: float = 0) -> list[Body]:
    """Elbow (in the origin), upper arm above it and forearm below, its palm to the front."""
    lower = [
        *limb((0, 0, -2), (0.6, 0, -16), 4.1, 3.7),
        *limb((0.6, 0, -12), (1.0, 0, -27), 3.4, 2.8),
        *bone((1.5, -0.2, -2.4), (1.7, 0, -22), 0.75, 1.2),
        spongy((1.5, -0.2, -1.6), (1.15, 1.15, 0.6)),
        *bone((-1.0, 0.5, -1.2), (-0.3, 0.2, -23), 0.7, 1.1),
        spongy((-0.9, 0.9, -0.3), (1.2, 1.4, 2.0)),
        spongy((-0.9, -0.7, -1.3), (0.9, 0.9, 0.7)),
    ]
    return [
        *limb((0, 0.3, 4), (0.2, 0, 26), 4.5, 4.9),
        flesh_ball((0, 0.2, 0), (4.6, 4.4, 4.6)),
        *bone((0, 0.1, 3.0), (0, 0, 28), 1.15, 0.9),
        spongy((0, 0, 1.6), (2.7, 0.8, 2.2)),
        spongy((-1.0, -0.3, 0.6), (1.2, 1.1, 1.1)),
        spongy((1.4, -0.4, 0.6), (1.0, 1.0, 0.95)),
        spongy((-2.4, 0.1, 2.0), (0.8, 0.6, 0.9)),
        ball(-SPONGY * 0.8, (0, 0.4, 1.9), (0.8, 0.9, 0.7)),
        *turned(lower, (-bend + 6 * sway, 0, 0), (0, 0, 0.3)),
        *plaster(0.08, (0, 0, 3), (0.2, 0, 22), 4.4, 4.8),
        *maybe(0.05, "wire", *(rod(METAL, (x, 1.6, 1.5), (x + 0.2, 0.5, -6), 0.1) for x in (-1, -0.4))),
    ]


def elbow_bent(sway: float = 0) -> list[Body]:
    """Bent at a right angle, for the side view."""
    return elbow(sway, 82)


def arm(sway: float = 0) -> list[Body]:
    """The whole arm hanging from the shoulder (in the origin), its palm to the front."""
    return [*upper_arm(sway), *turned(hand(sway), (180, 0, 0), shift=(0.3, 0, -62))]


def upper_arm(sway: float = 0) -> list[Body]:
    """Humerus and its flesh, hanging from the origin."""
    return [
        *limb((0.5, 0.3, -5), (0.3, 0.3, -27), 4.9, 5.0),
        flesh_ball((0.6, 0.3, -2), (5, 5.2, 6.5)),
        spongy((-0.4, 0, 0.3), (2.4, 2.4, 2.4)),
        spongy((1.4, -0.2, -0.2), (1.6, 1.9, 2.0)),
        spongy((0.5, 0, -2.6), (1.9, 1.7, 2.6)),
        *bone((0.5, 0, -3.5), (0.3, 0.1, -27), 1.25, 0.9),
        spongy((0.3, 0.1, -28.2), (2.3, 0.9, 2.2)),
        *plate(0.08, (1.9, -0.3, -3), (1.7, -0.3, -12)),
    ]


def shoulder(sway: float = 0) -> list[Body]:
    """Left shoulder joint in the origin, with the upper arm, the scapula and half the chest."""
    return [*half_chest(), *scapula(), *turned(upper_arm(), (0, -(12 + 14 * sway), 0))]


def half_chest() -> list[Body]:
    """Ribs, lung and clavicle beside the shoulder."""
    lung = ball(LUNG, (-11.6, 0, -10.5), (6.0, 8.4, 13.5), (0, -5, 0))
    cage = ball(0.28, (-19, 0, -11.5), (14.3, 10.2, 18.5)), ball(-0.28, (-19, 0, -11.5), (13.8, 9.7, 18.0))
    return [
        flesh_ball((-19, 0, -11.5), (17.5, 11.5, 21)),
        flesh_ball((-15, 0.5, -1), (16, 7.5, 7)),
        *limb((-19, 0, 0), (-19.5, 0.5, 16), 6.5, 6.5),
        lung,
        *(combed(shell, (0, -0.62, 0.78), 2.5, 0.32) for shell in cage),
        *bone((-17.5, -6.5, 0.2), (-3.0, -0.6, 3.0), 0.6),
        *maybe(0.1, "strap", rod(0.12, (-9, -9, 3), (-10, -10, -16), 0.5, 0.2), ball(METAL, (-9.5, -9.5, -4), 0.35)),
    ]


def scapula() -> list[Body]:
    """Shoulder blade with glenoid, spine, acromion and coracoid."""
    return [
        ball(CORTEX * 0.45, (-6.6, 4.2, -5.5), (3.6, 0.5, 7.4), (14, 28, 14)),
        rod(CORTEX * 0.75, (-3.6, 3.0, -2.5), (-7.0, 5.4, -13), 0.42),
        rod(CORTEX * 0.55, (-9.6, 6, -1.5), (-9.0, 6.2, -11), 0.3),
        spongy((-2.9, 1.2, -0.6), (0.7, 1.4, 2.0)),
        rod(CORTEX * 0.7, (-9.5, 6.2, -1.2), (-0.2, 2.4, 3.0), 0.5),
        spongy((0.4, 1.0, 3.0), (1.5, 1.8, 0.6)),
        rod(CORTEX * 0.8, (-3.6, 0.8, 1.6), (-2.6, -2.8, 1.0), 0.6),
    ]


def scapula_raised(sway: float = 0) -> list[Body]:
    """The arm raised over the head: the shoulder blade is free of the ribs."""
    raised = turned(upper_arm(), (0, -(118 + 10 * sway), 0))
    return [*half_chest(), *turned(scapula(), (0, -22, 0), (-3, 1, 0)), *raised]

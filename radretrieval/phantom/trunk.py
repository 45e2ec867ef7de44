"""The bodies of the chest, and the spine in it."""

from __future__ import annotations

from dataclasses import replace

from radretrieval.phantom.bodies import Body, ball, combed, maybe, rod
from radretrieval.phantom.parts import (
    AIR,
    CORTEX,
    LUNG,
    METAL,
    SPONGY,
    bone,
    both,
    cloud,
    column,
    flesh_ball,
    flesh_rod,
    limb,
    spongy,
    vertebrae,
)


def trunk(breath: float = 0, heart: float = 1, bony: float = 1) -> list[Body]:
    """Chest without arms and spine; `breath`: how many cm the diaphragm stands below its middle position.

    `heart` is its relative width, `bony` the relative density of the ribs.
    """
    right = ball(LUNG, (-7.6, 0.5, 0), (6.3, 8.8, 13.5), (0, 5, 0))
    left = ball(LUNG, (7.8, 0.5, -0.3), (6.0, 8.8, 13.5), (0, -5, 0))
    hila = [
        cloud(0.16, (side * (3.8 + 2.0 * i), 1, 1 - 2.2 * j), (2.9, 0.8, 0.6), (0, side * (8 + 22 * j), 0))
        for side in (-1, 1)
        for i in range(2)
        for j in (-1, 0, 1, 2)
    ]
    cage = ball(0.30 * bony, (0, 0.5, -1), (14.6, 10.6, 19)), ball(-0.30 * bony, (0, 0.5, -1), (14.0, 10.0, 18.4))
    size = heart * (6.4 - 0.5 * breath)
    return [
        flesh_rod((0, 0.5, -34), (0, 0.5, -5), 16.5, 11.5),
        flesh_ball((0, 0.5, -1), (17.3, 12.0, 20)),
        flesh_ball((0, 1, 12), (15, 7, 7)),
        flesh_rod((0, 1, 14), (0, 0, 28), 6, 6),
        right,
        left,
        *(
            replace(body, union=f"fills {lung.centre[0]}")
            for lung, x, z in ((right, -7, -15), (left, 7.5, -16.5))
            for body in (
                ball(-LUNG, (x, 0, z - breath), (8.5, 10, 7.5), within=lung, loose=2),
                ball(-LUNG * 0.95, (3.0, -3.5, -5.6 - 0.5 * breath), (size, 5.2, 6.2), (0, 35, 0), lung, 2.5),
            )
        ),
        ball(-LUNG * 0.9, (2.2, 1, 5.8), (2.4, 4, 2.6), within=left, loose=2),
        ball(-LUNG * 0.9, (-2, 0, 5), (1.8 * heart, 2, 6), within=right, loose=2),
        *hila,
        rod(AIR, (0, 1, 3), (0, 0, 16), 0.85),
        ball(AIR, (7, -3, -14.5 - breath), (2.6, 2, 1.4), loose=5),
        *(combed(shell, (0, -0.62, 0.78), 2.5, 0.3) for shell in cage),
        rod(SPONGY, (0, -9.2, 8), (0, -9.8, -6), 1.6, 0.5),
    ]


def _chest(breath: float, raised: float, turned: float, heart: float = 1) -> list[Body]:
    """The trunk, its shoulders `raised` cm above their middle, the shoulder blades `turned` cm outwards."""
    shoulders = both(
        flesh_ball((18, 1, 8), (5.5, 5.5, 10)),
        *bone((1.8, -7, 11.8), (15.5, -1, 13.5 + raised), 0.55),
        ball(CORTEX * 0.5, (12 + turned, 7, 6.5 + raised), (4.4, 0.5, 7), (10, 14, 0)),
        spongy((18.5, 1, 11.2 + raised), 2.3),
        *bone((19, 1, 11 + raised), (21 + turned, 1, -4), 1.2, 1.1),
    )
    straight = column((0, 6.2, -3), (1.7, 1.6, 26), 2.7, 0.8, dense=0.6)
    return [*trunk(breath, heart), *straight, *shoulders, *_belongings()]


def _belongings() -> list[Body]:
    """What some patients wear or have in them."""
    pacemaker = rod(METAL * 0.5, (9.5, -9, 7.0), (9.5, -8.3, 7.0), 2.2)
    lead = [((8.5, -8, 8.5), (2.5, -2, 9)), ((2.5, -2, 9), (-1.5, -2, 0)), ((-1.5, -2, 0), (2.5, -5, -7.5))]
    wires = [ball(METAL, (0, -9.9, 7 - 2.6 * i), (0.7, 0.1, 0.35)) for i in range(5)]
    return [
        *maybe(0.06, "pacemaker", pacemaker, *(rod(METAL, start, end, 0.1) for start, end in lead)),
        *maybe(0.06, "sternal wires", *wires),
        *maybe(0.06, "necklace", *both(rod(METAL * 0.6, (0.2, -9, 8), (4.5, -7, 14), 0.09))),
        *maybe(0.06, "nodule", cloud(0.15, (-8, 2, 2), (1.4, 1.4, 1.4), loose=30)),
        *maybe(0.10, "effusion", cloud(0.14, (9.0, 3, -8), (4.5, 6, 4), loose=6)),
    ]


def chest_upright(sway: float = 0) -> list[Body]:
    """Deep breath, hands on the hips: the shoulder blades are out of the lungs."""
    return _chest(0.7 + 0.8 * sway, 0.5 * sway, 2.5)


def chest_breathed_out(sway: float = 0) -> list[Body]:
    """Expiration: the diaphragm high, the heart broad."""
    return _chest(-3.6 + 0.8 * sway, 0.3, 2, 1.1)


def chest_lateral(sway: float = 0) -> list[Body]:
    """The arms are raised out of the way."""
    arms = both(*limb((14, -2, 14), (14, -9, 30), 4.5, 4.5), *bone((14, -2, 14), (14, -9, 30), 1.2, 1.1))
    blades = both(ball(CORTEX * 0.5, (9, 7.2, 6), (3.5, 0.5, 7), (14, 20, 0)))
    return [*trunk(0.7 + 0.8 * sway, bony=0.5), *thoracic_column(sway), *arms, *blades, *_belongings()]


def chest_supine(sway: float = 0) -> list[Body]:
    """What lies on a patient in intensive care: electrodes with their leads, a tube, a catheter."""
    leads = [((-9, -11, 9), (-14, -11, -18)), ((8, -11, 8), (3, -11, -20)), ((10, -11, -8), (16, -11, -20))]
    electrodes = [
        body
        for k, (start, end) in enumerate(leads)
        for body in maybe(
            0.8, f"lead {k}", ball(METAL, start, (0.55, 0.15, 0.55), loose=8), rod(METAL, start, end, 0.09)
        )
    ]
    return [
        *_chest(-1.8 + 0.9 * sway, 1.5 + 0.5 * sway, -1),
        *electrodes,
        *maybe(0.75, "tube", rod(0.5, (0, 1, 20), (0.2, 1, 5), 0.45)),
        *maybe(0.75, "catheter", rod(1.2, (-5.5, -4, 13), (-2.4, -1, 2), 0.12)),
        *maybe(0.3, "drain", rod(0.8, (13, 4, -8), (8, 5, 6), 0.3)),
    ]


def chest_of_child(sway: float = 0) -> list[Body]:
    """An infant, drawn at a grown-up's size: short, broad, level ribs, a large heart, the arms up, a round belly."""
    cage = ball(0.26, (0, 0.5, -1), (14.6, 11.5, 16)), ball(-0.26, (0, 0.5, -1), (14.2, 11.1, 15.6))
    arms = both(*limb((15, 1, 8), (24, 0, 20), 4.6, 4.6), *bone((17, 1, 10), (25, 0, 20), 1.1, 1.0))
    rest = [body for body in trunk(-2.2 + 0.8 * sway, 1.25) if body.comb is None]
    return [
        *rest,
        *(combed(shell, (0, -0.25, 0.97), 2.3, 0.3) for shell in cage),
        *column((0, 6.2, -3), (1.9, 1.6, 26), 2.0, 0.7, dense=0.7),
        *arms,
        *both(*bone((1.8, -7, 10.5), (14, -1, 11.5), 0.6)),
        flesh_ball((0, 0, 24), (9, 10, 10)),
        ball(CORTEX, (0, 0, 26), (8.5, 9, 9)),
        ball(-CORTEX, (0, 0, 26), (8.1, 8.6, 8.6)),
        flesh_ball((0, -1, -22), (18, 12, 11)),
        *(cloud(AIR, (x, -5, z), (2.6, 2, 2.1), loose=8) for x, z in ((-9, -19), (-3, -23), (3, -19), (9, -23))),
        *maybe(0.4, "stomach tube", rod(0.7, (0.4, 2, 20), (2.5, 0, -14), 0.2)),
    ]


def thoracic_column(sway: float = 0) -> list[Body]:
    """The thoracic spine with its kyphosis, from L2 to C7."""
    bend = 1 + 0.3 * sway
    curve = [(4.2, -21), (5.8 + 0.6 * bend, -9), (5.6 + 1.0 * bend, 2), (3.6, 16)]
    return vertebrae(curve, 14, (2.1, 1.8, 2.4), (1.35, 1.2, 2.6), dense=1.35)


def thorax_of_spine(sway: float = 0) -> list[Body]:
    """The chest as its spine needs it: softly exposed lungs, the shoulders down."""
    return [*trunk(-1, bony=0.45), *thoracic_column(sway), *both(*bone((1.8, -7, 11.8), (15.5, -1, 13.5), 0.55)),
            *both(flesh_ball((18, 1, 8), (5.5, 5.5, 10)), *bone((18, 1, 11), (19, 1, -6), 1.2, 1.3))]  # fmt: skip

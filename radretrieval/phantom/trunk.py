"""The bodies of the trunk: chest, abdomen, lumbar spine, pelvis."""

from __future__ import annotations

from dataclasses import replace

from radretrieval.phantom.bodies import Body, ball, combed, rod
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
    spongy,
)


def trunk(breath: float = 0) -> list[Body]:
    """Chest without arms; `breath`: how many cm the diaphragm stands below its middle position."""
    right = ball(LUNG, (-7.6, 0.5, 0), (6.3, 8.8, 13.5), (0, 5, 0))
    left = ball(LUNG, (7.8, 0.5, -0.3), (6.0, 8.8, 13.5), (0, -5, 0))
    hila = [
        cloud(0.16, (side * (3.8 + 2.0 * i), 1, 1 - 2.2 * j), (2.9, 0.8, 0.6), (0, side * (8 + 22 * j), 0))
        for side in (-1, 1)
        for i in range(2)
        for j in (-1, 0, 1, 2)
    ]
    cage = ball(0.30, (0, 0.5, -1), (14.6, 10.6, 19)), ball(-0.30, (0, 0.5, -1), (14.0, 10.0, 18.4))
    return [
        flesh_rod((0, 0.5, -32), (0, 0.5, 15), 16.5, 11.5),
        flesh_ball((0, 1, 15), (14, 7, 4.5)),
        flesh_rod((0, 1, 14), (0, 0, 28), 6, 6),
        right,
        left,
        ball(-LUNG, (-7, 0, -15 - breath), (8.5, 10, 7.5), within=right, loose=2),
        ball(-LUNG, (7.5, 0, -16.5 - breath), (8.5, 10, 7.5), within=left, loose=2),
        *(
            ball(
                -LUNG * 0.95,
                (3.0, -3.5, -5.6 - 0.5 * breath),
                (6.4 - 0.5 * breath, 5.2, 6.2),
                (0, 35, 0),
                lung,
                2.5,
            )
            for lung in (left, right)
        ),
        ball(-LUNG * 0.9, (2.2, 1, 5.8), (2.4, 4, 2.6), within=left, loose=2),
        ball(-LUNG * 0.9, (-2, 0, 5), (1.8, 2, 6), within=right, loose=2),
        *hila,
        rod(AIR, (0, 1, 3), (0, 0, 16), 0.85),
        ball(AIR, (7, -3, -14.5 - breath), (2.6, 2, 1.4), loose=5),
        *column((0, 6.2, -3), (1.7, 1.6, 26), 2.7, 0.8),
        *(combed(shell, (0, -0.62, 0.78), 2.5, 0.3) for shell in cage),
        rod(SPONGY, (0, -9.2, 8), (0, -9.8, -6), 1.6, 0.5),
    ]


def _chest(breath: float, raised: float, turned: float) -> list[Body]:
    """The trunk, its shoulders `raised` cm above their middle, the shoulder blades `turned` cm outwards."""
    shoulders = both(
        flesh_ball((18, 1, 8), (5.5, 5.5, 10)),
        *bone((1.8, -7, 11.8), (15.5, -1, 13.5 + raised), 0.55),
        ball(CORTEX * 0.5, (12 + turned, 7, 6.5 + raised), (4.4, 0.5, 7), (10, 14, 0)),
        spongy((18.5, 1, 11.2 + raised), 2.3),
        *bone((19, 1, 11 + raised), (21 + turned, 1, -4), 1.2, 1.1),
    )
    return [*trunk(breath), *shoulders]


def chest_upright() -> list[Body]:
    """Deep breath, hands on the hips: the shoulder blades are out of the lungs."""
    return _chest(0.7, 0, 2.5)


def _abdomen(low: float, high: float) -> list[Body]:
    gas = [(-8, 3), (-5, 8), (0, 9), (6, 8), (9, 2), (7, -4), (2, -1), (-3, -3)]
    return [
        flesh_rod((0, 0, low), (0, 0, high), 14, 10),
        *both(ball(0.02, (6, 3, 0), (3, 3, 5.5), (0, -15, 0))),
        *(cloud(AIR, (x, -5, z), (2.1, 1.8, 1.4), (0, 25 * x, 0), loose=6) for x, z in gas),
    ]


def lumbar() -> list[Body]:
    return [
        *_abdomen(-26, 26),
        *column((0, 3, 4), (2.4, 1.8, 15), 3.7, 0.8),
        ball(SPONGY * 1.2, (0, 5, -13), (5.2, 1.6, 5), (25, 0, 0)),
        *both(
            ball(CORTEX * 0.6, (9.5, 3.5, -12), (5.2, 1.0, 6.5), (0, 30, 35)),
            *(rod(CORTEX * 0.7, (2.5, 5, z), (11.5, 4, z - 5), 0.45) for z in (13.5, 17.2)),
        ),
    ]


def pelvis() -> list[Body]:
    return [
        *_abdomen(-3, 26),
        flesh_ball((0, 1, -4), (18.5, 11, 11)),
        *both(flesh_rod((9.5, 0, -6), (10.5, 0, -32), 8, 8)),
        *column((0, 3.5, 18), (2.5, 1.8, 9), 3.7, 0.8),
        combed(ball(SPONGY * 1.3, (0, 6, 4.5), (5.2, 1.7, 6), (20, 0, 0)), (0, 0, 1), 2.2, 0.8),
        *both(
            spongy((8.8, 3, 7.5), (6.2, 1.1, 7.2), CORTEX * 0.9, (0, 28, 30)),
            rod(CORTEX * 0.6, (13.2, -2, 10), (7, 4, 13.6), 0.5),
            spongy((8.4, 0, -1.5), (3.4, 2.6, 4.2)),
            spongy((9.6, 0, -3), 2.4, SPONGY * 1.5),
            replace(rod(SPONGY, (9.8, 0, -3), (14, 1, -6.5), 1.6), union="bone"),
            spongy((14.4, 1, -6), (1.9, 1.8, 2.6)),
            *bone((14, 0.5, -7), (13, 0, -28), 1.5, 1.1),
            replace(rod(CORTEX * 0.8, (8, -2, -2.5), (0.6, -4, -6), 0.95), union="bone"),
            replace(rod(CORTEX * 0.8, (0.9, -4, -5.6), (4.6, 1, -11), 0.8), union="bone"),
            replace(rod(CORTEX * 0.8, (7.6, 3, -4.5), (5, 1, -11), 1.25), union="bone"),
            spongy((5.2, 1.5, -10.4), (1.6, 1.5, 2.0)),
        ),
        cloud(AIR, (0.5, 3, 0), (2.4, 2, 1.9), loose=5),
        ball(0.02, (0, -3, -1), (4.5, 4, 3.5), loose=3),
    ]


def chest_supine() -> list[Body]:
    """What lies on a patient in intensive care: electrodes with their leads, a tube, a catheter."""
    leads = [((-9, -11, 9), (-14, -11, -18)), ((8, -11, 8), (3, -11, -20)), ((10, -11, -8), (16, -11, -20))]
    return [
        *_chest(-1.8, 1.5, -1),
        *(ball(METAL, start, (0.55, 0.15, 0.55), loose=8) for start, _ in leads),
        *(rod(METAL, start, end, 0.09) for start, end in leads),
        rod(0.5, (0, 1, 20), (0.2, 1, 5), 0.45),
        rod(1.2, (-5.5, -4, 13), (-2.4, -1, 2), 0.12),
    ]

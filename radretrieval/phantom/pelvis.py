"""The bodies of the pelvis and the hips."""

from __future__ import annotations

from dataclasses import replace

from radretrieval.phantom.abdomen import belly, gas, lumbar_column
from radretrieval.phantom.bodies import Body, ball, maybe, rod, turned
from radretrieval.phantom.parts import AIR, CORTEX, METAL, SPONGY, bone, both, cloud, flesh_ball, limb, spongy


def pelvis(sway: float = 0) -> list[Body]:
    """Pelvis, the sacrum in it, and the upper half of the thighs."""
    return [*girdle(sway), *both(*femur()), *prosthesis()]


def pelvis_of_wounded(sway: float = 0) -> list[Body]:
    """Lying as brought in: the feet fall outwards, a catheter, a board and a belt."""
    legs = both(*turned(femur(), (0, -5 + 3 * sway, 28), (9.6, 0, -3)))
    board = both(rod(0.25, (20.5, 12, -40), (20.5, 12, 40), 1.2, 0.8))
    catheter = maybe(0.6, "catheter", rod(0.6, (0.3, -5, -1), (0.8, -6, -14), 0.25), ball(0.1, (0.2, -3, 1), 1.2))
    return [*girdle(sway), *legs, *board, *catheter, *maybe(0.3, "belt", rod(0.5, (-19, -12, 12), (19, -12, 12), 0.5))]


def girdle(sway: float = 0) -> list[Body]:
    """The pelvic ring, the lumbar spine on it and the flesh."""
    upper = turned([*belly(-24, 24), *lumbar_column(sway, 10)], (0, 0, 0), shift=(0, 0, 17.5))
    return [
        *upper,
        *gas([(-9, 14), (8, 16), (9, 9), (-3, 12)]),
        flesh_ball((0, 1, -4), (18.5, 11, 13)),
        *both(
            spongy((8.8, 3, 7.5), (6.2, 1.1, 7.2), CORTEX * 0.9, (0, 28, 30)),
            rod(CORTEX * 0.6, (13.2, -2, 10), (7, 4, 13.6), 0.5),
            rod(CORTEX * 0.5, (13.6, -3, 8), (11.6, -3.4, 2), 0.6),
            spongy((8.4, 0, -1.5), (3.4, 2.6, 4.2)),
            replace(rod(CORTEX * 0.8, (8, -2, -2.5), (0.6, -4, -6), 0.95), union="bone"),
            replace(rod(CORTEX * 0.8, (0.9, -4, -5.6), (4.6, 1, -11), 0.8), union="bone"),
            replace(rod(CORTEX * 0.8, (7.6, 3, -4.5), (5, 1, -11), 1.25), union="bone"),
            spongy((5.2, 1.5, -10.4), (1.6, 1.5, 2.0)),
        ),
        cloud(AIR, (0.5, 3, 0), (2.4, 2, 1.9), loose=5),
        ball(0.02, (0, -3, -1), (4.5, 4, 3.5), loose=3),
        *maybe(0.08, "coil", rod(METAL, (0, -2, -1), (0, -2, 2), 0.12), rod(METAL, (-1.3, -2, 2), (1.3, -2, 2), 0.12)),
    ]


def femur() -> list[Body]:
    """The left thigh in its socket."""
    return [
        *limb((9.0, 0, -2), (11.5, 0, -52), 8.6, 8.8),
        spongy((9.6, 0, -3), 2.4, SPONGY * 1.5),
        replace(rod(SPONGY, (9.8, 0, -3), (14, 1, -6.5), 1.6), union="bone"),
        spongy((14.4, 1, -6), (1.9, 1.8, 2.6)),
        spongy((12.2, 1.4, -9.2), (1.0, 0.9, 1.2)),
        *bone((14, 0.5, -7), (12.2, 0, -42), 1.5, 1.1),
    ]


def prosthesis() -> list[Body]:
    """An artificial hip on the left."""
    return maybe(
        0.08,
        "hip",
        ball(METAL * 0.6, (9.3, 0, -2.6), 2.6),
        rod(METAL, (9.8, 0, -3.2), (13.4, 0.6, -6.2), 0.7),
        rod(METAL * 0.8, (13.4, 0.6, -6.2), (13.3, 0.3, -19), 0.75),
    )


def hip_lateral(sway: float = 0) -> list[Body]:
    """The left thigh bent and turned outwards, as Lauenstein has it: a lateral view of the femur's neck."""
    turned_out = turned(femur(), (-18, -(38 + 8 * sway), 25), (9.6, 0, -3))
    return [*girdle(sway), *both(*femur())[len(femur()) :], *turned_out]


def sacrum_region(sway: float = 0) -> list[Body]:
    """For views from the side: the near femora left out, as they lie below the field."""
    return [*girdle(sway), *both(*femur()[1:3])]

"""The bodies of the abdomen and of the lumbar spine, plain and with contrast agents."""

from __future__ import annotations

import math

from radretrieval.phantom.bodies import Body, Vector, ball, maybe, rod, turned
from radretrieval.phantom.parts import (
    AIR,
    BARIUM,
    CORTEX,
    IODINE,
    LUNG,
    METAL,
    SPONGY,
    both,
    cloud,
    flesh_ball,
    flesh_rod,
    level,
    spongy,
    tube,
    vertebrae,
)

_COLON: list[Vector] = [(-10.5, -1, -13), (-11, 0, 4), (-9, -3, 8), (0, -6, 4), (9.5, -3, 10)]
_LEFT_COLON: list[Vector] = [(9.5, -3, 10), (11, 1, 6), (10.5, 1, -8), (5, -1, -15), (1, 2, -14), (0, 4, -19)]


def belly(low: float = -26, high: float = 26) -> list[Body]:
    """Flesh, psoas muscles, kidneys, liver."""
    return [
        flesh_rod((0, 0, low), (0, 0, high), 14.5, 10.5),
        *both(
            ball(0.02, (6, 3, 6), (2.8, 2.6, 5.8), (0, -15, 0), loose=3),
            ball(0.018, (4.2, 3.2, -3), (2.2, 2.2, 11), (0, -14, 0)),
        ),
        ball(0.014, (-7, -1, 11), (7.5, 7, 7), loose=2),
    ]


def gas(places: list[tuple[float, float]], size: float = 1.0) -> list[Body]:
    """Bubbles in the bowel."""
    return [
        cloud(AIR, (x, -5, z), (2.1 * size, 1.8, 1.4 * size), (0, 25 * x, 0), loose=9)
        for x, z in places
    ]  # fmt: skip


def lower_ribs() -> list[Body]:
    """The last ribs."""
    return both(
        *(rod(CORTEX * 0.6, (2.5, 5.5, z), (12.2, 4, z - 5), 0.45) for z in (13.5, 17.2)),
        *(rod(CORTEX * 0.5, (12.2, 4, z - 5), (13.6, -4, z - 8.5), 0.42) for z in (13.5, 17.2)),
    )


def lumbar_column(sway: float = 0, high: float = 24) -> list[Body]:
    """The lumbar spine with its lordosis, from L5 (z −9) upwards, and the sacrum below it."""
    bend = 1 + 0.5 * sway
    curve = [(4.0, -9.5), (2.3 - 0.9 * bend, -1), (2.6 - 0.5 * bend, 7), (4.6, 18), (5.4, high)]
    count = round((high + 9.5) / 3.3)
    return [*vertebrae(curve, count, (2.5, 1.9, 2.8), (1.8, 1.55, 2.6)), *sacrum(bend)]


def sacrum(bend: float = 1) -> list[Body]:
    """Five vertebrae grown together, and the coccyx."""
    pieces = [
        spongy((0, 5.4, -11.8), (5.0, 1.8, 2.6), SPONGY, (28, 0, 0)),
        spongy((0, 7.2, -14.8), (3.8, 1.3, 3.6), SPONGY, (30, 0, 0)),
        spongy((0, 8.4, -18.2), (2.3, 0.9, 2.8), SPONGY, (4, 0, 0)),
        *(spongy((0, 8.1 - 0.9 * i, -21.0 - 1.1 * i), (0.8 - 0.15 * i, 0.5, 0.7)) for i in range(3)),
    ]
    lines = [ball(-0.08, (0, 5.6 + 0.8 * i, -13 - 2.1 * i), (2.2 - 0.3 * i, 1.2, 0.16), (30, 0, 0)) for i in range(4)]
    holes = both(*(ball(-0.12, (1.7 - 0.15 * i, 5.8 + i, -12.4 - 2.0 * i), (0.5, 0.9, 0.4)) for i in range(4)))
    return turned([*pieces, *lines, *holes], (-9 * (bend - 1), 0, 0), (0, 4, -10))


def iliac_wings() -> list[Body]:
    """The upper rim of the pelvis."""
    return both(
        ball(CORTEX * 0.6, (9.3, 3.0, -13), (5.6, 1.0, 6.6), (0, 28, 35)),
        rod(CORTEX * 0.4, (6, 4.5, -9.2), (13.0, -1.5, -12.5), 0.55),
    )


def lumbar(sway: float = 0) -> list[Body]:
    """Lumbar spine and what lies before it."""
    return [
        *belly(),
        *gas([(-8, 3), (-5, 8), (0, 9), (6, 8), (9, 2), (7, -4), (2, -1), (-3, -3)]),
        *lumbar_column(sway),
        *iliac_wings(),
        *lower_ribs(),
        *maybe(0.05, "screws", *both(*(rod(METAL, (1.2, 6, z), (1.0, 1.5, z), 0.28) for z in (-6.0, -2.6)),
                                     rod(METAL, (1.2, 6.2, -7), (1.2, 6.2, -1.6), 0.3))),
        *maybe(0.15, "aorta", rod(0.10, (1, 0, -2), (0.6, 0.3, 12), 1.0), rod(-0.10, (1, 0, -2), (0.6, 0.3, 12), 0.85)),
        *maybe(0.1, "clips", *(ball(METAL, (-7, -2, 6 + 0.6 * i), (0.12, 0.1, 0.35)) for i in range(3))),
    ]  # fmt: skip


def abdomen(sway: float = 0) -> list[Body]:
    """Lying: gas in bubbles."""
    places = [(-9, 4), (-9.5, -6), (-6, 8.5), (-1, 7), (4, 7), (9, 9), (10, 2), (9.5, -7), (1, -4), (-3, -9), (4, -11)]
    return [*_cavity(sway), *gas(places, 1.25 + 0.3 * sway)]


def _cavity(sway: float) -> list[Body]:
    return [
        *belly(-30, 30),
        flesh_ball((0, 0, -24), (17, 11, 10)),
        *lumbar_column(sway),
        *iliac_wings(),
        *lower_ribs(),
        *both(
            ball(LUNG, (7.6, 1.5, 24.5), (6.8, 8.5, 7.5)),
            ball(SPONGY * 0.8, (8.8, 0, -22.5), (3.4, 2.6, 3.8)),
            rod(CORTEX * 0.6, (7.6, -2, -23), (0.8, -4, -26), 0.95),
        ),
        ball(0.02, (0, -3, -20), (4.5, 4, 3.3), loose=4),
        *maybe(0.1, "stone", ball(1.0, (-6.3, 3, 5), 0.4, loose=6)),
        *maybe(0.1, "stomach tube", rod(0.6, (1, 1, 26), (5, -3, 11), 0.25)),
        *maybe(0.08, "zip", rod(METAL, (0.3, -10, -12), (0.3, -10, -22), 0.25)),
    ]


def abdomen_upright(sway: float = 0) -> list[Body]:
    """Standing: gas collects under the diaphragm and over levels of fluid."""
    return [*_cavity(sway), *_levels((0, 0, 1), [(6.5, 13), (-8, 6), (-2, 3), (4.5, 0), (-5, -5), (2, -8), (9, 4)])]


def abdomen_on_side(sway: float = 0) -> list[Body]:
    """On the left side: gas collects under the right flank."""
    return [*_cavity(sway), *_levels((-1, 0, 0), [(-11, 6), (-10, -3), (-6, 1), (-4, 9), (1, 3), (0, -6), (6, 8)])]


def _levels(up: Vector, places: list[tuple[float, float]]) -> list[Body]:
    bodies: list[Body] = []
    for k, (x, z) in enumerate(places):
        size = 2.6 - 0.22 * k
        bodies += maybe(0.75, f"level {k}", level((x, -4, z), size, up))
    return bodies


def stomach(sway: float = 0) -> list[Body]:
    """Barium in a hook-shaped stomach and the duodenum, gas in the fundus."""
    hook: list[Vector] = [(6.0, -1, 11), (6.5, -3, 6), (4.5, -5, 1 - 2 * sway), (1, -5, -1.5 - 2 * sway), (-3, -4, 2)]
    duodenum: list[Vector] = [(-3, -3, 2), (-5, 0, 3.5), (-5.6, 1, -1), (-4.5, 1, -4.5), (1, 1, -4), (4, 0, -1)]
    return [
        *_cavity(sway),
        *tube(hook[:2], 2.7, BARIUM * 0.5, 0.5),
        *tube(hook[1:], 2.0, BARIUM * 0.5, 0.4),
        *tube(duodenum, 0.9, BARIUM * 0.5, 0.6),
        level((6, -3, 12.5), 3.2),
        *gas([(-9, -6), (9, -9), (3, -12)], 1.2),
    ]


def colon(sway: float = 0) -> list[Body]:
    """Barium and air in the transverse colon, with its haustra."""
    sag = 3 * sway
    arch: list[Vector] = [(-10, -2, 7), (-7, -5, 2 - sag), (0, -6, -1 - sag), (6, -5, 2 - sag), (10, -2, 9)]
    air = [ball(AIR, (x, -5, z), (1.5, 1.5, 1.5), loose=4) for x, _, z in arch[1:4]]
    return [
        *_cavity(sway),
        *tube(arch, 2.2, BARIUM * 0.4, 0.8),
        *tube(_COLON[:2], 2.3, BARIUM * 0.4, 0.8),
        *tube(_LEFT_COLON, 1.7, BARIUM * 0.4, 0.8),
        *air,
    ]


def jejunum(sway: float = 0) -> list[Body]:
    """Barium in the coils of the small bowel, left and above the navel."""
    return [*_cavity(sway), *_coils((4.0, -4, 3.0), (6.5, 4.5), 0.95, 0.35), *gas([(-9, 5), (9, 10), (-9, -8)], 1.2)]


def ileum(sway: float = 0) -> list[Body]:
    """Barium in the last coils and in the caecum, right and below."""
    caecum: list[Vector] = [(-10.5, -1, -12), (-10.8, -1, -4)]
    return [*_cavity(sway), *_coils((-3.5, -4, -11.5), (5.5, 4.0), 0.9, 0.4), *tube(caecum, 2.3, BARIUM * 0.4, 0.7)]


def _coils(middle: Vector, reach: tuple[float, float], radius: float, share: float) -> list[Body]:
    x, y, z = middle
    line: list[Vector] = [
        (
            x + reach[0] * math.sin(1.9 * i) * (0.4 + 0.6 * math.sin(0.37 * i) ** 2),
            y + math.cos(2.3 * i),
            z + reach[1] * math.cos(1.3 * i),
        )
        for i in range(14)
    ]
    return tube(line, radius, BARIUM * share, 0.9)


def urinary(sway: float = 0) -> list[Body]:
    """Iodine in the renal pelves, the ureters and the bladder."""
    line: list[Vector] = [(3.6, 3, 5.5), (3.4, 3, -3), (4.4, 3, -10), (4.0, 3, -16), (1.5, 0, -19.5)]
    return [
        *_cavity(sway),
        *kidneys(),
        *both(*tube(line, 0.32, IODINE * 1.2, 1.6, 1)),
        ball(IODINE * 0.5, (0, -3, -20), (4.2, 3.6, 3.0 + sway), loose=4),
        *gas([(-9, 4), (-9, -6), (9, 9), (9, -7), (0, -2)], 1.2),
    ]


def kidneys() -> list[Body]:
    """Kidneys, their calyces and pelves, full of iodine."""
    calyces = [
        ball(IODINE * 1.1, (5.6 + 0.3 * abs(i), 3, 6.2 + 1.7 * i), (1.1, 0.4, 0.3), (0, -24 * i, 0), loose=2)
        for i in (-1.3, 0, 1.3)
    ]
    return both(
        ball(0.06, (6, 3, 6), (2.8, 2.6, 5.8), (0, -15, 0), loose=2),
        *calyces,
        ball(IODINE * 1.2, (4.5, 3, 5.8), (0.8, 0.6, 1.2), (0, 20, 0), loose=2),
    )


def bladder(sway: float = 0) -> list[Body]:
    """Iodine in a full bladder."""
    return [*_cavity(sway), ball(IODINE * 0.7, (0, -3, -19.5), (5.2, 4.4, 4.2 + sway), loose=4),
            *both(*tube([(4.4, 3, -10), (4.0, 3, -16), (1.5, 0, -19.5)], 0.3, IODINE, 1.6, 1)),
            *gas([(-8, -8), (8, -8), (0, -6)])]  # fmt: skip


def kidneys_only(sway: float = 0) -> list[Body]:
    """The renal pelves at their fullest, the ureters still empty."""
    return [*_cavity(sway), *kidneys(), *gas([(-9, 4), (9, 9), (0, -2)], 1.2)]

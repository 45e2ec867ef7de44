"""The anatomy axis of the IRMA code: which model of the body, what of it, how wide a field.

Shapes and sizes are a draughtsman's, not an atlas: enough to recognise the region. Limbs and breasts are
drawn as left ones; right ones are their mirror images. One model serves many regions: a wrist is the hand's
model with another middle and a smaller field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from radretrieval.phantom import abdomen, arm, breast, head, leg, pelvis, trunk, whole
from radretrieval.phantom.bodies import Body, Scene, Vector
from radretrieval.phantom.directions import longest

Model = Callable[[float], list[Body]]
SWAYS = 3  # a posture is one of so many steps to either side of the middle


@dataclass(frozen=True)
class Shot:
    """One way to take a region.

    Attributes
    ----------
    model : its bodies for a posture of −1…1.
    field : side of the square film, cm.
    middle : the point in the middle of the film, cm.
    aspect : width of the collimated field over its height.
    frame : how the part lies, see `directions.DIRECTIONS`.
    wander : how far the middle is from there at most, cm.
    whole : the sides are parts of one body, not its mirror images; the right side's middle is mirrored.
    """

    model: Model
    field: float
    middle: Vector = (0, 0, 0)
    aspect: float = 1
    frame: str = ""
    wander: Vector = (0, 0, 0)
    whole: bool = False


@cache
def scene(model: Model, posture: int) -> Scene:
    """The bodies of a model in one of 2 × `SWAYS` + 1 postures."""
    return Scene(model(posture / SWAYS))


_TRUNK = (0, 0, -1.5)
_FOOT = (0.4, -5.5, -43)
_SHOULDER = (-3, 0, -2)

# Anatomy (several prefixes have one entry) → direction prefix → shot; the longest prefixes count.
SHOTS: dict[str, dict[str, Shot]] = {
    "11": {"": Shot(whole.torso, 88, (0, 0, -22), 0.7)},
    "2": {"": Shot(head.skull, 26, (0, -0.5, -1.5))},
    "212": {"": Shot(head.skull, 15, (0, -6, -2.2), 1.4), "2": Shot(head.skull, 14, (0, -6, -2.2))},
    "213": {
        "": Shot(head.skull, 19, (0, -5, -3.5)),
        "1": Shot(head.skull, 21, (0, -5, -4.5)),
        "2": Shot(head.skull, 11, (0, -9, -3.5), 0.8),
        "43": Shot(head.skull, 20, (0, -6, -4.0), 0.85),
    },
    "215": {"": Shot(head.skull_open, 18, (0, -4, -8)), "2": Shot(head.skull, 17, (0, -3.5, -8))},
    "216": {"": Shot(head.skull, 23, (0, -1.0, -4))},
    "221": {"": Shot(head.skull, 13, (4, 1.0, -4.5), frame="ear")},
    "23": {"": Shot(head.skull, 25, (0, 0.5, 0))},
    "233": {"": Shot(head.skull, 24, (0, 2, 0))},
    "30": {"": Shot(whole.spine, 86, (0, 2, -8), 0.45)},
    "31": {
        "": Shot(head.neck, 24, (0, -1, 0)),
        "218": Shot(head.neck_bowed, 25, (0, -1.5, 0.5)),
        "228": Shot(head.neck_bowed, 25, (0, -1.5, 0.5)),
        "219": Shot(head.neck_thrown_back, 25, (0, 1, 0.5)),
        "229": Shot(head.neck_thrown_back, 25, (0, 1, 0.5)),
    },
    "311": {"": Shot(head.skull_open, 11, (0, 1, -7.6))},
    "313": {"": Shot(head.skull_open, 16, (0, 1, -9.5)), "2": Shot(head.neck, 13, (0, 0, 5))},
    "32": {
        "": Shot(trunk.thorax_of_spine, 38, (0, 4, -2), 0.5),
        "2": Shot(trunk.thorax_of_spine, 38, (0, 4, -2), 0.62),
    },
    "321": {"": Shot(trunk.thorax_of_spine, 24, (0, 3, 13), 0.75)},
    "33": {"": Shot(abdomen.lumbar, 36, (0, 1, 1), 0.6), "2": Shot(abdomen.lumbar, 36, (0, 2.5, 1), 0.65)},
    "331": {"": Shot(abdomen.lumbar, 25, (0, 3, 11), 0.7)},
    "333": {"": Shot(abdomen.lumbar, 20, (0, 4, -7), 0.85)},
    "34": {"": Shot(abdomen.lumbar, 24, (0, 6, -14), 0.8)},
    "40": {"": Shot(arm.arm, 80, (0.5, 0, -37), 0.35)},
    "41": {"": Shot(arm.hand, 24, (0, 0, 0.5)), "4": Shot(arm.hand, 24, (0, 0, 0.5), 0.8)},
    "411": {
        "": Shot(arm.hand, 11, (0.3, 0, 6.3), 0.6, wander=(2.2, 0, 1)),
        "2": Shot(arm.finger, 12, (0, -1.5, 3), 0.6),
    },
    "412": {"": Shot(arm.hand, 17, (0, 0, 2)), "2": Shot(arm.hand, 17, (0, 0, 2), 0.7)},
    "413": {"": Shot(arm.hand, 11, (0, 0, -4))},
    "421 422": {"": Shot(arm.hand, 17, (0.2, 0, -6), 0.7)},
    "433 434": {"": Shot(arm.hand, 22, (0.1, 0, -10.5), 0.55)},
    "437 438": {"": Shot(arm.hand, 34, (0.1, 0, -18), 0.42)},
    "44": {"": Shot(arm.elbow, 20, (0, 0, -0.5), 0.75), "2": Shot(arm.elbow_bent, 21, (0, -3, 1.5), 0.9)},
    "450 451 452": {"": Shot(arm.shoulder, 37, (4, 0, -14), 0.55), "2": Shot(arm.arm, 37, (0.5, 0, -15), 0.5)},
    "453 454": {
        "": Shot(arm.shoulder, 26, (2, 0, -7), 0.65),
        "2": Shot(arm.shoulder, 28, (0, 0, -5), 0.75),
        "23": Shot(arm.arm, 25, (0.5, 0, -7), 0.65),
    },
    "46": {"": Shot(arm.shoulder, 23, _SHOULDER), "2": Shot(arm.shoulder, 23, _SHOULDER, frame="blade")},
    "466 467": {
        "": Shot(arm.shoulder, 25, (-5, 2, -5), 0.85),
        "12f": Shot(arm.scapula_raised, 26, (-4, 1, -3), 0.85),
    },
    "5": {
        "": Shot(trunk.chest_upright, 39, _TRUNK),
        "112": Shot(trunk.chest_breathed_out, 39, _TRUNK),
        "127": Shot(trunk.chest_supine, 39, _TRUNK),
        "2": Shot(trunk.chest_lateral, 37, _TRUNK),
    },
    "510": {"": Shot(trunk.chest_upright, 43, (0, 0, -4))},
    "514 515": {
        "": Shot(trunk.chest_upright, 33, (7.5, 0, -1), 0.6, whole=True),
        "111": Shot(trunk.chest_upright, 38, (4.5, 0, -1), 0.8, whole=True),
    },
    "516 517": {"": Shot(trunk.chest_upright, 21, (9.5, 0, 11), 1.5, whole=True)},
    "52": {"": Shot(trunk.chest_upright, 31, (0, 0, 0)), "127": Shot(trunk.chest_supine, 31, (0, 0, 0.5))},
    "54": {"": Shot(trunk.chest_upright, 27, (0, 0, 6), 0.5)},
    "6": {"": Shot(breast.breast_from_above, 18, (0, -8.6, 0)), "41": Shot(breast.breast_oblique, 18, (0, -8.6, 0.8))},
    "600": {"": Shot(breast.breast_from_above, 9, (0, -6, 0), wander=(1.5, 1, 0))},
    "7": {
        "": Shot(abdomen.abdomen, 42, (0, 0, -1), 0.85),
        "115": Shot(abdomen.abdomen_upright, 42, (0, 0, 1), 0.85),
        "120": Shot(abdomen.abdomen, 38, (0, 0, 3), 0.95),
        "119": Shot(abdomen.abdomen_on_side, 42, (0, 0, -1), 1.2),
        "129": Shot(abdomen.abdomen_on_side, 42, (0, 0, -1), 1.2),
    },
    "71": {"": Shot(abdomen.abdomen_upright, 38, (0, 0, 11), 1.2)},
    "720": {"": Shot(abdomen.abdomen_upright, 33, (0, 0, 1)), "127": Shot(abdomen.abdomen, 31, (0, 0, 1))},
    "721": {"": Shot(abdomen.abdomen, 24, (-7, 0, 2), 0.8)},
    "75": {"": Shot(abdomen.abdomen_on_side, 36, (-6, 0, 2), 1.6)},
    "8": {
        "": Shot(pelvis.pelvis, 40, (0, 0, 0.5), 1.15),
        "127": Shot(pelvis.pelvis_of_wounded, 44, (0, 0, 1)),
        "2": Shot(pelvis.sacrum_region, 36, (0, 1, 1), 0.8),
    },
    "810": {"": Shot(pelvis.sacrum_region, 23, (0, 6, 4), 0.8)},
    "811": {"": Shot(pelvis.pelvis, 24, (0, 4, 6))},
    "82": {"": Shot(pelvis.pelvis, 28, (8, 0, 5), 0.9)},
    "90": {"": Shot(leg.leg, 100, (0.8, 0, -2), 0.25), "2": Shot(leg.leg_bent, 96, (0.8, 2, -1), 0.4)},
    "91": {
        "": Shot(leg.foot_on_film, 28, _FOOT, 0.55, "foot"),
        "23": Shot(leg.foot_alone, 29, (0.4, -5.5, -42), 1.7),
        "5": Shot(leg.foot_on_film, 30, _FOOT, 1, "foot"),
    },
    "911": {
        "": Shot(leg.foot_on_film, 12, (0.3, -15, -44.5), 0.8, "foot", (1.2, 0.8, 0)),
        "23": Shot(leg.foot_alone, 12, (0, -15.5, -44.8), 1.2),
    },
    "912": {"": Shot(leg.foot_on_film, 18, (0.4, -8.5, -43), 0.8, "foot")},
    "913 91a 91b": {
        "": Shot(leg.foot_on_film, 15, (0.4, -3, -42), 0.9, "foot"),
        "23": Shot(leg.foot_alone, 18, (0.4, -2, -41.5), 1.25),
    },
    "916 918 919": {
        "": Shot(leg.foot_on_film, 20, (0.4, -12, -44), 0.75, "foot"),
        "23": Shot(leg.foot_alone, 19, (0.4, -13, -44), 1.5),
        "5": Shot(leg.foot_on_film, 22, (0.4, -11, -44), 1, "foot"),
    },
    "917": {
        "": Shot(leg.foot_alone, 15, (0.5, 2, -42.5), 0.8, "foot"),
        "23": Shot(leg.foot_alone, 15, (0.5, 2, -42), 1.2),
    },
    "92": {"": Shot(leg.leg, 19, (0.2, 0, -37), 0.75), "23": Shot(leg.leg, 21, (0.2, 0, -38.5), 0.85)},
    "930": {"": Shot(leg.leg, 48, (0.5, 0.5, -20), 0.35)},
    "933 934": {"": Shot(leg.leg, 29, (0.3, 0.3, -29), 0.5)},
    "935 936": {"": Shot(leg.leg, 28, (0.4, 0.6, -8), 0.6)},
    "94": {"": Shot(leg.leg, 23, (0, 0, 0), 0.75), "2": Shot(leg.leg_bent, 23, (0, 0.5, 0.3), 0.85)},
    "941": {"": Shot(leg.patella_from_below, 15, (0, -1.5, 1), 1.25)},
    "950": {"": Shot(leg.leg, 46, (1.8, 0, 20), 0.4)},
    "951 953 954": {"": Shot(leg.leg, 29, (0.6, 0, 8.5), 0.55), "2": Shot(leg.leg_bent, 29, (0.6, 0, 8.5), 0.6)},
    "952": {"": Shot(leg.leg, 30, (2, 0, 32), 0.6)},
    "955 956": {"": Shot(pelvis.pelvis, 32, (12, 0, -15), 0.6)},
    "96": {
        "": Shot(pelvis.pelvis, 25, (11, 0, -3), 0.85),
        "23": Shot(pelvis.hip_lateral, 26, (11, 0, -4), frame="hip"),
        "4": Shot(pelvis.pelvis, 30, (9, 0, -4)),
    },
}

CHILD_FILTER = "112d"
# A child's proportions, drawn at a grown-up's size: films are filled whatever they show.
CHILDREN = {"414": Shot(arm.hand_of_child, 23, (0, 0, -0.5)), "5": Shot(trunk.chest_of_child, 41, (0, 0, -4))}

# Contrast agents in a system, by the biosystem axis; they come before the plain film.
SYSTEMS: dict[str, Shot] = {
    "37": Shot(trunk.chest_upright, 24, (0, 0, 9), 0.55),
    "43": Shot(abdomen.stomach, 27, (1, 0, 5)),
    "442": Shot(abdomen.jejunum, 27, (2, 0, 2)),
    "443": Shot(abdomen.ileum, 24, (-6, 0, -11)),
    "452": Shot(abdomen.colon, 30, (0, 0, 3)),
    "512": Shot(abdomen.kidneys_only, 30, (0, 0, 3)),
}

# The urinary tract has two fields, by the anatomy axis.
URINARY = {"7": Shot(abdomen.urinary, 42, (0, 0, -4), 0.85), "73": Shot(abdomen.bladder, 26, (0, 0, -17))}

_LEFT = "414 421 433 437 441 451 453 462 466 515 516 62 914 918 91a 921 933 935 942 953 955 961"
_RIGHT = "415 422 434 438 442 452 454 463 467 514 517 61 915 919 91b 922 934 936 943 954 956 962"
# The side that the code names, by the anatomy axis or its beginning.
SIDES = {prefix: side for side, prefixes in (("L", _LEFT), ("R", _RIGHT)) for prefix in prefixes.split()}

# DICOM Body Part InspectedFile (PS3.16, Annex L), by the beginning of the anatomy axis.
BODY_PARTS = {
    "1": "TRUNK", "2": "SKULL", "212": "ORBIT", "213": "NOSE", "215": "JAW", "216": "TMJ", "30": "SPINE",
    "31": "CSPINE", "32": "TSPINE", "321": "CTSPINE", "33": "LSPINE", "331": "TLSPINE", "34": "SSPINE", "40": "ARM",
    "41": "HAND", "411": "FINGER", "413": "WRIST", "42": "WRIST", "43": "FOREARM", "44": "ELBOW", "45": "HUMERUS",
    "46": "SHOULDER",
    "466": "SCAPULA", "467": "SCAPULA", "5": "CHEST", "514": "RIB", "515": "RIB", "516": "CLAVICLE", "517": "CLAVICLE",
    "54": "MEDIASTINUM", "6": "BREAST", "7": "ABDOMEN", "8": "PELVIS", "81": "SACRUM", "82": "ILIUM", "90": "LEG",
    "91": "FOOT", "911": "TOE", "917": "CALCANEUS", "92": "ANKLE", "93": "LEG", "94": "KNEE", "941": "PATELLA",
    "95": "THIGH", "96": "HIP",
}  # fmt: skip


def shot(means: str, angle: str, place: str, system: str) -> Shot | None:
    """How the region of a code, given by its axes, is taken; None if it is not drawn."""
    if means == CHILD_FILTER:
        return longest(CHILDREN, place)
    special = longest(URINARY, place) if system.startswith("50") else longest(SYSTEMS, system)
    regions = longest(_REGIONS, place)
    return special or (None if regions is None else longest(regions, angle))


_REGIONS = {prefix: shots for prefixes, shots in SHOTS.items() for prefix in prefixes.split()}

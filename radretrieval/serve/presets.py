"""Windows for a body part, beside those of the file."""

from __future__ import annotations

from typing import NamedTuple

from radretrieval.irma.code import axes
from radretrieval.serve.film import Film, WindowOf


class _Share(NamedTuple):
    """A part of the grey scale of a film as it is shown first, which becomes all of it."""

    name: str
    low: float
    high: float


# Radiographs have no unit of grey as CT has: windows are shares of what is shown first. Source: greys measured in 650
# public films of chest, hand, knee and breast, and looked at; docs/films.md says how.
_SHARES = {
    "chest": (_Share("lungs", 0.15, 0.75), _Share("mediastinum", 0.4, 0.95)),
    "limb": (_Share("soft tissue", 0.05, 0.65), _Share("bone", 0.35, 1.0)),
    "breast": (_Share("fat", 0.2, 0.65), _Share("glandular tissue", 0.5, 0.95)),
}
# Hounsfield units; the defaults of the OHIF viewer (defaultWindowLevelPresets).
_CT = (
    ("soft tissue", 40, 400),
    ("lungs", -600, 1500),
    ("liver", 90, 150),
    ("bone", 480, 2500),
    ("brain", 40, 80),
)
# Body Part Examined (PS3.16, annex L), and the first character of the anatomical axis of an IRMA code.
_CHEST, _BREAST = ("CHEST", "THORAX", "LUNG", "RIB"), ("BREAST",)
_LIMBS = (
    *("ANKLE", "ARM", "CALCANEUS", "CLAVICLE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND"),
    *("HIP", "HUMERUS", "KNEE", "LEG", "PATELLA", "RADIUS", "SCAPULA", "SHOULDER", "THIGH", "THUMB", "TIBIA", "TOE"),
    *("ULNA", "WRIST"),
)
_PARTS = {part: name for name, parts in (("chest", _CHEST), ("breast", _BREAST), ("limb", _LIMBS)) for part in parts}
_ANATOMY = {"4": "limb", "5": "chest", "6": "breast", "9": "limb"}


def presets(film: Film, modality: str | None, body_part: str | None, irma_code: str | None = None) -> list[WindowOf]:
    """The windows for a body part, which its name says, else its IRMA code; none for one that has none."""
    if modality == "CT":
        return [WindowOf(name=name, centre=centre, width=width, function="LINEAR") for name, centre, width in _CT]
    if modality == "MR":
        return []
    name = _PARTS.get((body_part or "").upper()) or (_ANATOMY.get(axes(irma_code)[2][0]) if irma_code else None)
    low, high = _shown(film)
    if name is None or not high > low:
        return []
    found = []
    for share in _SHARES[name]:
        first, last = (1 - share.high, 1 - share.low) if film.inverted else (share.low, share.high)
        centre, width = low + (high - low) * (first + last) / 2, (high - low) * (last - first)
        found.append(WindowOf(name=share.name, centre=round(centre, 6), width=round(width, 6), function="LINEAR_EXACT"))
    return found


def _shown(film: Film) -> tuple[float, float]:
    """The modality values that are black and white at first; those of a film that is inverted the other way round."""
    if film.initial == "window":
        window = film.windows[0]
        return window.centre - window.width / 2, window.centre + window.width / 2
    if film.initial == "lut" and film.lut is not None:
        return film.lut.first, film.lut.first + len(film.lut.table) - 1.0
    return film.range

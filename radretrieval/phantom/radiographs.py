"""Synthetic radiographs by IRMA code: which region, from which direction, of which side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radretrieval.errors import UsageError
from radretrieval.irma.code import axes
from radretrieval.phantom import anatomy, film
from radretrieval.phantom.bodies import Projection, rotation

Value = TypeVar("Value")


@dataclass(frozen=True)
class Direction:
    """How the rays run: `view` has the detector's right, its down and the rays' direction as rows."""

    view: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    focus: float  # from the focus to the detector, cm
    position: str  # DICOM View Position


@dataclass(frozen=True)
class PhantomClass:
    """One class that phantoms are made of: what the labels CSV says of it."""

    irma_code: str
    modality: str
    body_part: str
    view_position: str
    laterality: str


# Keyed by the beginning of the direction axis; the longest that fits counts.
DIRECTIONS = {
    "11": Direction(((1, 0, 0), (0, 0, -1), (0, -1, 0)), 180, "PA"),
    "12": Direction(((1, 0, 0), (0, 0, -1), (0, 1, 0)), 115, "AP"),
    "21": Direction(((0, 1, 0), (0, 0, -1), (1, 0, 0)), 150, "LL"),
    "22": Direction(((0, -1, 0), (0, 0, -1), (-1, 0, 0)), 150, "RL"),
    "23": Direction(((0, 1, 0), (0, 0, -1), (1, 0, 0)), 115, "ML"),
    "24": Direction(((0, 1, 0), (0, 0, -1), (-1, 0, 0)), 115, "LM"),
    "31": Direction(((0, -1, 0), (-1, 0, 0), (0, 0, -1)), 65, "CC"),
    "41": Direction(((0, -1, 0), (0, 0, -1), (1, 0, 0)), 65, "MLO"),
}

# Keyed by the beginning of the anatomy axis: the region's name and the side that the code names.
ANATOMY = {
    "2": ("skull", ""),
    "31": ("cervical spine", ""),
    "33": ("lumbar spine", ""),
    "414": ("hand", "L"),
    "415": ("hand", "R"),
    "5": ("chest", ""),
    "61": ("breast", "R"),
    "62": ("breast", "L"),
    "8": ("pelvis", ""),
    "914": ("foot", "L"),
    "915": ("foot", "R"),
    "942": ("knee", "L"),
    "943": ("knee", "R"),
}

# A region that looks otherwise from some direction (devices on the supine patient, the compressed breast).
VARIANTS = {
    ("chest", "127"): "chest, supine",
    ("chest", "2"): "chest, lateral",
    ("breast", "41"): "breast, oblique",
}

BODY_PARTS = {"cervical spine": "CSPINE", "lumbar spine": "LSPINE"}

# Codes of ImageCLEF 2009; the first n are the classes of an archive of n classes.
CODES = (
    "1123-127-500-000",
    "1123-110-500-000",
    "1123-211-500-000",
    "1121-110-414-700",
    "1121-120-942-700",
    "1121-120-200-700",
    "1121-120-800-700",
    "1121-120-330-700",
    "1124-310-620-625",
    "1121-230-942-700",
    "1121-220-230-700",
    "1121-120-914-700",
    "1121-120-943-700",
    "1121-220-310-700",
    "1124-410-620-625",
    "1121-210-330-700",
)


def phantom_class(code: str) -> PhantomClass:
    """What the labels say of phantoms with that IRMA code.

    Raises
    ------
    UsageError : it is not an IRMA code, or no phantom is drawn for its region or direction.
    """
    region, side, direction = _find(code)
    region = region.split(",")[0]
    modality = "MG" if region == "breast" else "DX"
    body_part = BODY_PARTS.get(region, region.upper())
    return PhantomClass(code, modality, body_part, direction.position, side)


def radiograph(
    code: int | str, rng: np.random.Generator, size: int = 256, patient: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """One synthetic radiograph.

    The attenuation of overlapping bodies is summed along every ray by closed formulas; the film follows by
    Beer-Lambert's law, with focal blur, scatter, quantum noise, a display curve, collimation and a marker.

    Parameters
    ----------
    code : an index into `CODES`, or an IRMA code.
    rng : draws the pose and the exposure; and the patient, if `patient` is not given.
    size : side in pixels, at least 16.
    patient : draws the anatomy; equal states give the same patient.

    Returns
    -------
    float32 (size, size), 0…1, bright is high attenuation.

    Raises
    ------
    UsageError : `size` is too small, the index does not exist, or no phantom is drawn for that code.
    """
    if size < 16:
        raise UsageError(f"a phantom needs at least 16 pixels a side, not {size}")
    if isinstance(code, int):
        if not 0 <= code < len(CODES):
            raise UsageError(f"there is no phantom class {code}; the classes are 0 to {len(CODES) - 1}")
        code = CODES[code]
    name, side, direction = _find(code)
    region, scene = anatomy.REGIONS[name], anatomy.scene(name)
    centre, half = scene.vary(rng if patient is None else patient)
    pose = rotation((0, 0, rng.normal(0, 3))) @ np.array(direction.view, float) @ rotation(rng.normal(0, 2.5, 3))
    field = region.field * float(np.exp(rng.normal(0, 0.045)))
    projection = Projection(scene, centre - region.middle, half, pose, direction.focus, 0.3 * field)
    steps = ((np.arange(size) + 0.5) / size - 0.5) * field
    right, down = (steps + shift for shift in rng.normal(0, 0.02 * field, 2))
    integrals = projection.line_integrals(right.astype(np.float32), down.astype(np.float32))
    if side == "R":
        integrals = integrals[:, ::-1].copy()
    return film.develop(integrals, film.Exposure.draw(rng, side or str(rng.choice(["L", "R"]))), rng)


def _find(code: str) -> tuple[str, str, Direction]:
    """Region (or its variant), side and direction of a code."""
    _, angle, place, _ = axes(code)
    found = _longest(ANATOMY, place)
    direction = _longest(DIRECTIONS, angle)
    if found is None or direction is None:
        raise UsageError(f"no phantom is drawn for the IRMA code {code}; among those drawn are {', '.join(CODES)}")
    region, side = found
    variants = {prefix: name for (whole, prefix), name in VARIANTS.items() if whole == region}
    return _longest(variants, angle) or region, side, direction


def _longest(table: Mapping[str, Value], text: str) -> Value | None:
    """The entry under the longest key that `text` begins with."""
    keys = [key for key in table if text.startswith(key)]
    return table[max(keys, key=len)] if keys else None

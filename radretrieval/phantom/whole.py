"""Overviews: the models of several regions put together."""

from __future__ import annotations

from radretrieval.phantom.abdomen import lumbar_column
from radretrieval.phantom.bodies import Body, turned
from radretrieval.phantom.head import neck
from radretrieval.phantom.parts import flesh_rod
from radretrieval.phantom.pelvis import pelvis
from radretrieval.phantom.trunk import chest_upright, thoracic_column, trunk


def torso(sway: float = 0) -> list[Body]:
    """Chest, abdomen and pelvis from the front."""
    return [*chest_upright(sway), *turned(pelvis(sway), (0, 0, 0), shift=(0, 0, -44))]


def spine(sway: float = 0) -> list[Body]:
    """The whole spine from the side, from the skull to the sacrum."""
    lower = [*lumbar_column(sway), flesh_rod((0, 0, -26), (0, 0, 26), 14.5, 10.5)]
    return [
        *trunk(-1),
        *thoracic_column(sway),
        *turned(neck(sway), (0, 0, 0), shift=(0, 3, 27)),
        *turned(lower, (0, 0, 0), shift=(0, 0, -36)),
    ]

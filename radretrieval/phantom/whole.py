"""Overviews: the models of several regions put together."""

from __future__ import annotations

from radretrieval.phantom.abdomen import lumbar_column
from radretrieval.phantom.bodies import Body, turned
from radretrieval.phantom.head import neck
from radretrieval.phantom.parts import flesh_ball, limb
from radretrieval.phantom.pelvis import pelvis
from radretrieval.phantom.trunk import chest_upright, thoracic_column, trunk


def torso(sway: float = 0) -> list[Body]:
    """Chest, abdomen and pelvis from the front."""
    return [*chest_upright(sway), *turned(pelvis(sway), (0, 0, 0), shift=(0, 0, -44))]


def spine(sway: float = 0) -> list[Body]:
    """The whole spine from the side, from the skull to the sacrum."""
    flesh = [*limb((0, 0.5, -26), (0, 0.5, 22), 15.5, 10.5), flesh_ball((0, 2, -16), (17, 11, 15))]
    return [
        *trunk(-1, bony=0.45),
        *thoracic_column(sway),
        *turned(neck(sway), (0, 0, 0), shift=(0, 3, 27)),
        *turned([*lumbar_column(sway), *flesh], (0, 0, 0), shift=(0, 0, -36)),
    ]

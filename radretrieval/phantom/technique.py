"""How the picture was taken: the technique axis of the IRMA code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radretrieval.phantom.bodies import Patient, Scene
from radretrieval.phantom.projection import Array, Projection


@dataclass(frozen=True)
class Technique:
    """One technique.

    Attributes
    ----------
    bone : contrast of what is denser than flesh, relative to that at 60 keV.
    scatter : scattered radiation, relative to that of a plain film.
    photons : dose on the detector, relative to that of a plain film.
    slab : half the thickness of the layer that a tomograph shows sharply, cm; 0: everything is sharp.
    """

    bone: float = 1
    scatter: float = 1
    photons: float = 1
    slab: float = 0

    def harden(self, scene: Scene, patient: Patient) -> Patient:
        """The patient as these rays see it."""
        if self.bone == 1:
            return patient
        return patient._replace(coefficient=np.where(scene.mineral, self.bone, 1) * patient.coefficient)

    def line_integrals(self, view: Projection, right: Array, down: Array) -> Array:
        """Of that view: all of it, or the tomograph's layer and the rest smeared along the tube's path."""
        if not self.slab:
            return view.line_integrals(right, down)
        near = np.abs(view.place[:, 2]) <= self.slab
        rest = view.line_integrals(right, down, ~near)
        reach = down.size // 10
        smeared = np.mean([np.roll(rest, step, axis=0) for step in range(-reach, reach + 1, 2)], axis=0)
        blurred: Array = view.line_integrals(right, down, near) + smeared
        return blurred


# Keyed by the technique axis.
TECHNIQUES = {
    "1121": Technique(),
    "1122": Technique(scatter=1.2, slab=2.2),
    "1123": Technique(bone=0.72, scatter=1.3, photons=1.5),
    "1124": Technique(),
    "1127": Technique(scatter=0.5, photons=0.5),
    "112d": Technique(bone=0.85, scatter=0.6, photons=0.8),
}

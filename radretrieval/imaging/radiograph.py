"""The radiograph: pixels and what the file's header says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Radiograph:
    """One radiograph in memory.

    Attributes
    ----------
    pixels : float32 (rows, columns), 0…1, bright is high attenuation (bone is white).
    format : `png`, `jpeg`, `tiff` or `dicom`.
    bits_stored : bits of one stored sample, 1…16.
    photometric : DICOM's Photometric Interpretation, or the equivalent of the file's colour model.
    modality … study_instance_uid : from a DICOM header (PS3.3 C.7), None elsewhere.
    patient_id : the identifier as it stands in the header; never stored, only its keyed hash is.
    """

    pixels: NDArray[np.float32]
    format: str
    bits_stored: int
    photometric: str
    modality: str | None = None
    body_part: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    patient_id: str | None = None

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

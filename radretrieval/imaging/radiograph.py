"""The radiograph: pixels and what the file's header says of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.imaging.display import Display


@dataclass(frozen=True)
class Radiograph:
    """One radiograph in memory.

    Attributes
    ----------
    pixels : float32 (rows, columns), 0…1, bright is high attenuation (bone is white).
    format : `png`, `jpeg`, `tiff` or `dicom`.
    bits_stored : bits of one stored sample, 1…16.
    photometric : DICOM's Photometric Interpretation, or the equivalent of the file's colour model.
    modality … exposure : from a DICOM header (PS3.3 C.7), None elsewhere. Spacings are the distances of the centres of
        neighbouring pixels in mm, of the patient where calibrated, else of the detector; kvp is in kV, exposure in mAs.
    for_processing : raw values of the detector, which no film shows (Presentation Intent Type, PS3.3 C.8.11.1).
    frames : how many the file has; `pixels` are one of them.
    pixels_sha256 : hash of the stored values: equal for one image in several lossless encodings.
    header : what else of the header was asked for, as text by keyword.
    patient_id, issuer : the identifier as it stands in the header, and who gave it; never stored, only a keyed hash is.
    unreachable : why the original could not be read; then the pixels are of a reduced copy.
    flat : the pixels show nothing: `nearly_constant`.
    ignored : what of the header should say how to show the pixels and cannot be read, one sentence each.
    stored, display : stored values, integers (rows, columns), and what makes `pixels` of them; None of colours, a
        palette and a reduced copy.
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
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    study_date: date | None = None
    manufacturer: str | None = None
    row_spacing: float | None = None
    column_spacing: float | None = None
    kvp: float | None = None
    exposure: float | None = None
    for_processing: bool = False
    frames: int = 1
    pixels_sha256: bytes | None = None
    header: dict[str, str] = field(default_factory=dict)
    patient_id: str | None = None
    issuer: str | None = None
    unreachable: str | None = None
    flat: bool = False
    ignored: tuple[str, ...] = ()
    stored: NDArray[Any] | None = None
    display: Display | None = None

    @property
    def without_stored(self) -> Radiograph:
        """The same without its stored values: all that a search needs, in less memory."""
        return replace(self, stored=None, display=None)

    @property
    def shown_sha256(self) -> bytes | None:
        """Hash of `pixels` as 16-bit whole numbers, of a DICOM image: other where a window or a look-up table is."""
        if self.format != "dicom":
            return None
        return hashlib.sha256(np.rint(self.pixels * 65535).astype("<u2").tobytes()).digest()

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


def nearly_constant(values: NDArray[Any], whole: float = 1.0) -> bool:
    """Whether all but one hundredth of the values at each end lie within one hundredth of the range `whole`.

    The hundredths keep a letter burned into a black film from hiding that it is black. Up to about 100,000 values,
    evenly spread, are looked at.
    """
    if not values.size:
        return True
    step = max(1, round((values.size / 100_000) ** (1 / values.ndim)))
    low, high = np.percentile(values[(slice(None, None, step),) * values.ndim], (1, 99))
    return bool(high - low < 0.01 * whole)

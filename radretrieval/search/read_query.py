"""What a search needs of the query's radiograph, made where the query is decoded: in a process without the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.imaging.radiograph import Radiograph
from radretrieval.imaging.resample import resample
from radretrieval.ingest.problem import of_pixels
from radretrieval.search.cells import ReadFilm


@dataclass(frozen=True, eq=False)
class ReadQuery:
    """A query that was read.

    Attributes
    ----------
    inputs : of network and barcode, float32 squares, 0…1; None where they were not asked for.
    film : as its region is compared; None where that was not asked for.
    problems : what `ingest` would say of it, but that it is flat. The others are as of a `Radiograph`.
    """

    inputs: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    film: ReadFilm | None
    sop_instance_uid: str | None
    pixels_sha256: bytes | None
    patient_id: str | None
    issuer: str | None
    flat: bool
    problems: tuple[str, ...]


def read_query(
    radiograph: Radiograph,
    name: str,
    sizes: tuple[int, int] | None,
    compare: Callable[[Radiograph], ReadFilm] | None,
) -> ReadQuery:
    """What a search needs of a radiograph.

    Parameters
    ----------
    name : of its file, for the problems.
    sizes : sides in pixels of the inputs of network and barcode; None for neither.
    compare : makes of it what regions are compared in; None for nothing.
    """
    inputs = None
    if sizes is not None:
        inputs = resample(radiograph.pixels, sizes[0]), resample(radiograph.pixels, sizes[1])
    return ReadQuery(
        inputs,
        None if compare is None else compare(radiograph),
        radiograph.sop_instance_uid,
        radiograph.pixels_sha256,
        radiograph.patient_id,
        radiograph.issuer,
        radiograph.flat,
        tuple(problem.message for problem in of_pixels(name, radiograph) if problem.error != "Flat"),
    )

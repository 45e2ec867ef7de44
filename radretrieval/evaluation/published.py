"""What others, and the paper itself, reached on ImageCLEF 2009: the rows of its Table 2, and others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from radretrieval.irma.imageclef import classes


class Published(NamedTuple):
    """One published error over the 1,733 test images."""

    name: str
    error_score: float


PUBLISHED = (
    Published("Camlica et al. 2015, SVM on folded LBP", 146.55),
    Published("Khatami et al. 2018, parallel CNNs and local search", 165.55),
    Published("Khatami et al. 2018, CNN transfer learning and Radon pool", 168.05),
    Published("TAUbiomed", 169.5),
    Published("Idiap", 178.93),
    Published("the paper, CNNC(128) + RBC", 224.13),
    Published("the paper, CNNC(96) + RBC", 237.93),
    Published("FEITIJS", 242.46),
    Published("Superpixels", 249.34),
    Published("VPA SabanciUniv", 261.16),
    Published("the paper, CNNC(96, no binarization) + RBC", 270.12),
    Published("MedGIFT", 317.53),
)


def are_of_2009(true: Sequence[str]) -> bool:
    """Whether queries have the classes of ImageCLEF 2009's test in its numbers: only then errors stand side by side.

    They may be a stand-in for its images all the same; that no list of codes can tell.
    """
    counts = Counter(true)
    return all(counts[kind.irma_code] == kind.test for kind in classes()) and counts.total() == sum(
        kind.test for kind in classes()
    )

"""Published errors on ImageCLEF 2009: the rows of the paper's Table 2, and later ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from radretrieval.irma.imageclef import WITHDRAWN, classes


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


def why_not(queries: Sequence[str], searched: Sequence[str]) -> str:
    """Why errors over these queries are not comparable with published ones; empty where they are.

    They are where each code is as frequent as in ImageCLEF 2009's test and train (withdrawn codes may be more
    frequent). Whether the images are the same ones, too, the codes cannot show.
    """
    for name, codes, wanted in (
        ("queries", queries, {kind.irma_code: kind.test for kind in classes()}),
        ("searched images", searched, {kind.irma_code: kind.train for kind in classes()}),
    ):
        found = Counter(code for code in codes if code not in WITHDRAWN)
        differing = sorted(code for code in found.keys() | wanted.keys() if found[code] != wanted.get(code, 0))
        if differing:
            first = differing[0]
            return (
                f"the {name} are not those of ImageCLEF 2009: {len(differing)} classes differ in number, such as "
                f"{first}, {found[first]} instead of {wanted.get(first, 0)}"
            )
    return ""

"""Every number of the method, once.

Source: Liu, Tizhoosh and Kofman, "X-ray image retrieval combining CNN codes and Radon barcodes" (2016).
What the paper leaves open is decided here, each with its reason. A profile's hash is stored with every encoder:
two encoders with equal hashes differ in their weights only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from radretrieval.errors import EnvironmentUnusable, UsageError


@dataclass(frozen=True)
class Network:
    """Table 1: what the CNN is."""

    input_size: int = 128
    convolutions: tuple[int, ...] = (32, 64, 128)
    kernel: int = 3
    code_bits: int = 1000
    dropout: float = 0.5
    # Open in the paper: the range of the input. Pixels are 0…1; centred values train faster and stay exact in float32.
    input_mean: float = 0.5
    input_scale: float = 4.0


@dataclass(frozen=True)
class BackboneNetwork:
    """An EfficientNet-lite0 with a code layer (batch norm, no ReLU) and a linear classifier on the code's tanh."""

    backbone: str = "efficientnet-lite0"
    input_size: int = 128
    code_bits: int = 1000
    dropout: float = 0.3
    # The range that the ImageNet weights were trained with: pixels 0…1 become -1…1.
    input_mean: float = 0.5
    input_scale: float = 2.0


@dataclass(frozen=True)
class Training:
    """How the CNN learns. The paper gives 50 epochs and random shifts; the rest is ours."""

    epochs: int = 50
    shift: float = 0.1  # largest random horizontal and vertical shift, as a share of the side
    batch: int = 64
    learning_rate: float = 0.005  # SGD with Nesterov momentum, cosine decay to zero
    momentum: float = 0.9
    weight_decay: float = 5e-4
    held_out: ClassVar[float] = 0.0
    patience: ClassVar[int] = 0


@dataclass(frozen=True)
class FineTuning:
    """How a `BackboneNetwork` learns: AdamW with a one-cycle schedule, on films that are moved a little each time.

    Films are never mirrored: left and right are different IRMA codes.
    """

    epochs: int = 10
    epochs_from_random: int = 24  # where there are no weights to start from
    batch: int = 32
    learning_rate: float = 1e-3  # at the cycle's peak
    weight_decay: float = 0.01
    shift: float = 0.1  # largest shift, as a share of the side, both ways
    rotation: float = 8.0  # degrees, both ways
    scale: float = 0.12  # 1 ± this
    gamma: float = 0.3  # the exponent is e to the ± this
    label_smoothing: float = 0.05
    # Weight of the logarithm of a class's share of the training images, added to its logit (Menon et al. 2021):
    # rare codes are learnt as if all were equally frequent.
    logit_adjustment: float = 1.0
    axis_weight: float = 0.5  # of the loss of the four heads, one for each axis of the code
    # The largest share of each class that is measured and not learnt. The weights are those of the epoch of the second
    # half that did best on it; training ends after so many epochs there that did not better it.
    held_out: float = 0.1
    patience: int = 8


@dataclass(frozen=True)
class Barcode:
    """Radon barcode: geometry and rule (each code in the archive names its geometry)."""

    size: int = 192
    angles: int = 16
    rule: str = "median-positive"


@dataclass(frozen=True)
class Query:
    """Candidates by CNNC, hits by RBC, ROI by cross-correlation."""

    candidates: int = 50
    hits: int = 10
    # Open in the paper: at which size two radiographs of unlike sizes are compared.
    # Both are brought to the larger of their longest sides, at most this many pixels.
    roi_longest_side: int = 512
    # Share of the CNNC distance in the order of the candidates: none, hits are ordered by barcode alone.
    cnnc_percent: ClassVar[int] = 0


@dataclass(frozen=True)
class FusedQuery:
    """Candidates by CNNC, hits by the weighted mean of both distances, each as a share of its bits."""

    candidates: int = 50
    hits: int = 10
    roi_longest_side: int = 512
    cnnc_percent: int = 50


@dataclass(frozen=True)
class RegionSearch:
    """How a region of the query is found in another film; the same for every profile, and no part of its hash.

    Measured in benchmarks/roi.py; source of the figures that decided: docs/measured.md.
    """

    longest_side: int = 96  # of the films that are compared, in pixels
    cell: int = 3  # side of a cell, in pixels
    directions: int = 8  # of edges, in half a turn
    floor_percent: int = 30  # of the film's mean length of edges: added to a length before dividing by it
    flat_percent: int = 2  # of the film's energy: what the energy of a window is taken to be at least
    # Windows around the region: half-width in widths of the region, share in percent.
    windows: tuple[tuple[float, int], ...] = ((1.0, 40), (1.75, 40), (3.0, 20))
    least_cells: float = 5.0  # the windows of a smaller region are those of a region of so many cells
    prior_percent: int = 10  # what a place loses that lies a third of the side elsewhere
    film_shift: int = 6  # cells by which whole films are shifted over each other
    least_score: float = 0.46  # a region is found from this score on


REGION = RegionSearch()


@dataclass(frozen=True)
class Profile:
    """A complete set of the method's numbers."""

    name: str = "paper"
    network: Network | BackboneNetwork = field(default_factory=Network)
    training: Training | FineTuning = field(default_factory=Training)
    barcode: Barcode = field(default_factory=Barcode)
    query: Query | FusedQuery = field(default_factory=Query)

    def as_json(self) -> dict[str, object]:
        """The profile as plain JSON values, as it is stored in `encoder.profile`."""
        document: dict[str, object] = json.loads(json.dumps(asdict(self)))
        return document

    @classmethod
    def from_json(cls, document: dict[str, object]) -> Profile:
        """The profile that `as_json` wrote, here or in an earlier version.

        Raises EnvironmentUnusable where it has numbers that this version does not know, or values of another type.
        """
        parts = {name: _part(kinds, document[name]) for name, kinds in KINDS.items()}
        name = document["name"]
        if not isinstance(name, str):
            raise _unknown(f"name {name!r:.40}")
        return cls(name=name, **parts)

    @property
    def hash(self) -> str:
        """SHA-256 of the profile's canonical JSON, 64 hexadecimal digits."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


# Each part of a profile has one of these kinds; a stored part is of the first that has all of its keys. A number that a
# kind got later has its default in the profiles of before: it must be the number that was in effect.
KINDS: dict[str, tuple[type, ...]] = {
    "network": (Network, BackboneNetwork),
    "training": (Training, FineTuning),
    "barcode": (Barcode,),
    "query": (Query, FusedQuery),
}


def _part(kinds: tuple[type, ...], numbers: Any) -> Any:
    known = [{one.name for one in fields(kind)} for kind in kinds]
    kind = next((kind for kind, names in zip(kinds, known, strict=True) if names >= set(numbers)), None)
    if kind is None:
        raise _unknown(", ".join(sorted(set(numbers) - set().union(*known))) or "another kind of profile")
    for one in fields(kind):
        if one.name in numbers and not _of_type(numbers[one.name], one.default):
            raise _unknown(f"{one.name} {numbers[one.name]!r:.40}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in numbers.items()})


def _of_type(value: Any, default: Any) -> bool:
    """Whether a JSON value has the type of a default; a whole number is a real one, and a list stands for a tuple."""
    if isinstance(default, tuple):
        return isinstance(value, list) and all(_of_type(one, default[0]) for one in value)
    return type(value) in ((int, float) if isinstance(default, float) else (type(default),))


def _unknown(what: str) -> EnvironmentUnusable:
    return EnvironmentUnusable(
        f"an encoder was made by another version of radretrieval: its profile has {what}, which this version does not "
        "know; upgrade radretrieval here"
    )


PAPER = Profile()
# The second input size of the paper's Table 2.
PAPER_96 = Profile(name="paper-96", network=Network(input_size=96))
STRONG = Profile(name="strong", network=BackboneNetwork(), training=FineTuning(), query=FusedQuery())
PROFILES = {profile.name: profile for profile in (PAPER, PAPER_96, STRONG)}


def by_name(name: str) -> Profile:
    """The profile of that name; raises UsageError with the legal names."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"unknown profile {name!r}; the profiles are: {', '.join(sorted(PROFILES))}") from None

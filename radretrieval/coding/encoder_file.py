"""An encoder as one safetensors file: its weights, and in the file's metadata everything else, with a hash of it all.

The file holds numbers and JSON: reading it runs no code. Neither writing nor parsing needs torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from radretrieval.coding.calibration import Calibration
from radretrieval.errors import EnvironmentUnusable, UsageError
from radretrieval.irma.code import normalise
from radretrieval.profile import Profile

FORMAT = "radretrieval encoder 1"
LARGEST = 2**30  # bytes; PostgreSQL stores no value that is larger
_MEMBERS = ("profile", "classes", "calibration", "metrics")
_LONGEST_NAME = 64
_MOST_SAMPLES = 2**24  # of a barcode, size · size · angles: the matrix of the projections stays below 1 GB
# The least and the largest of each number of a profile, and the words that stand for something.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("input_size", "convolutions", "size", "angles"), (1, 1024)),
    **dict.fromkeys(("candidates", "hits", "epochs", "epochs_from_random", "batch"), (1, 100_000)),
    **dict.fromkeys(("code_bits", "roi_longest_side"), (1, 8192)),
    "kernel": (1, 31),
    **dict.fromkeys(("dropout", "shift", "momentum", "label_smoothing", "held_out"), (0, 1)),
    "cnnc_percent": (0, 100),
    "rotation": (0, 360),
    "input_mean": (-1e6, 1e6),
    "input_scale": (1e-6, 1e6),
    **dict.fromkeys(("learning_rate", "weight_decay", "scale", "gamma", "logit_adjustment", "axis_weight"), (0, 1e6)),
    "patience": (0, 100_000),
}
WORDS = {"backbone": "efficientnet-lite0", "rule": "median-positive"}


@dataclass(frozen=True)
class EncoderFile:
    """What such a file has.

    Attributes
    ----------
    weights : safetensors bytes without metadata, as `training.weights_of` makes them.
    profile : the profile that they were trained with.
    classes : the IRMA code of each softmax unit.
    metrics : what was noted of the training.
    calibration : what turns distances into probabilities; None for an encoder without.
    written_sha256 : the hash in a file that was read; of an earlier version, whose profile may have fewer numbers.
    """

    weights: bytes
    profile: Profile
    classes: tuple[str, ...]
    metrics: dict[str, Any]
    calibration: dict[str, Any] | None = None
    written_sha256: str | None = field(default=None, compare=False)

    def _members(self) -> dict[str, str]:
        values = (self.profile.as_json(), list(self.classes), self.calibration, self.metrics)
        return {name: _canonical(value) for name, value in zip(_MEMBERS, values, strict=True)}

    @property
    def sha256(self) -> str:
        """The hash of everything in the file, 64 hexadecimal digits; equal encoders have equal hashes on all hosts."""
        return self.written_sha256 or _hash(self._members(), self.weights)

    def to_bytes(self) -> bytes:
        """The whole file; equal encoders give equal bytes."""
        header, tensors = _parts(self.weights)
        metadata = {"format": FORMAT, **self._members(), "sha256": _hash(self._members(), self.weights)}
        return _joined({"__metadata__": metadata, **header}, tensors)

    @classmethod
    def from_bytes(cls, data: bytes) -> EncoderFile:
        """What `to_bytes` wrote, with its hash verified; whether the weights fit the profile, only a `Coder` tells.

        Raises
        ------
        UsageError : the file is damaged, or is none of these.
        """
        header, tensors = _parts(data)
        metadata = header.pop("__metadata__", None) or {}
        form = str(metadata.get("format"))
        if form != FORMAT:
            known = form.startswith(FORMAT.rstrip("0123456789"))
            raise UsageError(
                f"it has the form {form!r}, which this version does not know; upgrade radretrieval"
                if known
                else "it is a safetensors file, but none that `radretrieval encoder export` wrote"
            )
        weights = _joined(header, tensors)
        members = {name: metadata.get(name, "") for name in _MEMBERS}
        if metadata.get("sha256") != _hash(members, weights):
            raise UsageError(
                "its content does not have the hash that it names: it was damaged or changed; copy it again"
            )
        return replace(_decoded(members, weights), written_sha256=metadata["sha256"])


def _decoded(members: dict[str, str], weights: bytes) -> EncoderFile:
    """Raises UsageError where what has the right hash is no encoder all the same."""
    try:
        documents = [json.loads(members[name]) for name in _MEMBERS]
        for name, value in zip(_MEMBERS, documents, strict=True):
            if not _storable(value):
                raise ValueError(f"{name}: numbers must be finite, and text must be of Unicode characters without NUL")
        document, classes, calibration, metrics = documents
        profile = Profile.from_json(document)
        _check(profile)
        if calibration is not None:
            Calibration.from_json(calibration)
        if not isinstance(metrics, dict):
            raise ValueError("metrics: no JSON object")
        if not classes or len(set(classes)) != len(classes) or [normalise(code) for code in classes] != classes:
            raise ValueError("classes: not a list of different IRMA codes")
    except EnvironmentUnusable as error:  # a profile of a later version
        raise UsageError(str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, UsageError) as error:
        raise UsageError(
            f"its profile, classes, calibration or metrics are not of a form that this version knows ({error}); "
            "upgrade radretrieval, or export the encoder anew"
        ) from None
    return EncoderFile(weights, profile, tuple(classes), metrics, calibration)


def _storable(value: Any) -> bool:
    """Whether PostgreSQL stores a parsed JSON value as jsonb: no NaN, no infinity, no NUL, no lone surrogate."""
    if isinstance(value, str):
        return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(_storable(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return all(map(_storable, value))
    return not isinstance(value, float) or math.isfinite(value)


def _check(profile: Profile) -> None:
    """Raises ValueError for a number outside `RANGES`, an unknown word, and a name that is no line of text."""
    if not 0 < len(profile.name) <= _LONGEST_NAME or not profile.name.isprintable():
        raise ValueError(f"profile: a name has 1 … {_LONGEST_NAME} printable characters")
    for part in (profile.network, profile.training, profile.barcode, profile.query):
        for name, value in asdict(part).items():
            if isinstance(value, str):
                if value != WORDS[name]:
                    raise ValueError(f"profile: {name} is {value!r:.40}, not {WORDS[name]!r}")
                continue
            least, largest = RANGES[name]
            numbers = value if isinstance(value, tuple) else (value,)
            if not numbers or not all(least <= one <= largest for one in numbers):
                raise ValueError(f"profile: {name} is {value!r:.40}, which is not within {least:g} … {largest:g}")
    if profile.barcode.size**2 * profile.barcode.angles > _MOST_SAMPLES:
        raise ValueError("profile: size and angles of the barcode are too large together")
    if profile.query.hits > profile.query.candidates:
        raise ValueError("profile: hits are more than candidates")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hash(members: dict[str, str], weights: bytes) -> str:
    text = _canonical({**members, "weights": hashlib.sha256(weights).hexdigest()})
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a safetensors file; raises UsageError where it is none, or not whole."""
    from safetensors import SafetensorError, deserialize

    try:
        deserialize(data)  # type: ignore[no-untyped-call]  # verifies lengths, types, offsets
        end = 8 + int.from_bytes(data[:8], "little")
        header: dict[str, Any] = json.loads(data[8:end])
    except (SafetensorError, ValueError) as error:
        raise UsageError(f"it is no safetensors file, or not a whole one ({error}); copy it again") from None
    return header, data[end:]


def _joined(header: dict[str, Any], tensors: bytes) -> bytes:
    """A safetensors file, as the library writes it: the header's length is a multiple of eight."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors

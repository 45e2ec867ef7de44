"""An encoder leaves an archive as one file, or comes into it from one that another archive wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.schema.metadata import CODE_BITS
from radretrieval.coding.calibration import Calibration
from radretrieval.coding.encoder_file import LARGEST, EncoderFile
from radretrieval.config import Settings
from radretrieval.errors import InputMissing, UsageError
from radretrieval.files.output import check_output, output_file
from radretrieval.files.regular import read_regular


@dataclass(frozen=True)
class ExchangedEncoder:
    """What was written to a file, or read from one.

    Attributes
    ----------
    active : searches use it, in this archive.
    added : false where an import found the encoder in the archive already, and changed nothing.
    sha256 : hash of everything in the file.
    """

    encoder_id: int
    profile: str
    classes: int
    active: bool
    added: bool
    bytes: int
    sha256: str


def export_encoder(database: Database, settings: Settings, path: Path, encoder_id: int | None) -> ExchangedEncoder:
    """Write an encoder (None: the active one) to a file, which is whole or not there.

    Raises
    ------
    UsageError : an unknown encoder, or the file cannot be written. NoEncoder : none is active.
    """
    check_output(path, ".safetensors", "encoder")
    with database.connection() as connection:
        encoder = encoders.get(connection, encoder_id)
        metrics = encoders.metrics(connection, encoder)
        weights = encoders.weights(connection, encoder, settings.weights_folder)
    calibration = None if encoder.calibration is None else encoder.calibration.as_json()
    file = EncoderFile(weights, encoder.profile, encoder.classes, metrics, calibration)
    data = file.to_bytes()
    with output_file(path, "encoder") as draft:
        draft.write_bytes(data)
    return _exchanged(encoder, len(data), file.sha256, added=False)


def import_encoder(database: Database, path: Path) -> ExchangedEncoder:
    """Add the encoder of a file to the archive, active if it is the first; once, however often it is imported.

    Raises
    ------
    InputMissing : the file cannot be opened. UsageError : it is damaged, or no encoder of this version.
    EnvironmentUnusable : this role may not add encoders.
    """
    data = _content(path)
    try:
        file = EncoderFile.from_bytes(data)
        calibration = None if file.calibration is None else Calibration.from_json(file.calibration)
        _try(file)
    except UsageError as error:
        raise UsageError(f"{path} cannot be imported: {error}") from None
    with database.connection() as connection:
        encoders.lock_to_add(connection)
        known = encoders.same(connection, file.profile, file.weights, file.classes)
        number = known or encoders.add(connection, file.profile, file.weights, file.classes, file.metrics, calibration)
        return _exchanged(encoders.get(connection, number), len(data), file.sha256, added=known is None)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST)
    except OSError as error:
        raise InputMissing(f"cannot read {path}: {error.strerror or error}") from error


def _try(file: EncoderFile) -> None:
    """Encode an image; raises UsageError where weights, profile and classes do not belong together."""
    from radretrieval.coding.cnnc import Coder  # imports torch

    side, bits = file.profile.network.input_size, file.profile.network.code_bits
    if bits != CODE_BITS:
        raise UsageError(f"its codes have {bits} bits; this archive's have {CODE_BITS}")
    try:
        coder = Coder(file.weights, file.profile, "cpu")
        image = np.linspace(0, 1, side * side, dtype=np.float32).reshape(1, side, side)
        reals, classes = coder.preactivations(image), coder.class_probabilities(image)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"its weights are not those of a network of its profile ({reason})") from None
    if classes.shape[1] != len(file.classes):
        raise UsageError(f"its network has {classes.shape[1]} classes, its list has {len(file.classes)}")
    if not (np.isfinite(reals).all() and np.isfinite(classes).all()):
        raise UsageError("its weights give no finite numbers")


def _exchanged(encoder: encoders.Encoder, size: int, sha256: str, *, added: bool) -> ExchangedEncoder:
    return ExchangedEncoder(encoder.id, encoder.profile.name, len(encoder.classes), encoder.active, added, size, sha256)

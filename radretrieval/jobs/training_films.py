"""The training images at the size of the network's input, on disk, with the class of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.holdout import hold_out
from radretrieval.config import Settings
from radretrieval.errors import UsageError
from radretrieval.files.failures import FailureList
from radretrieval.files.text import shown
from radretrieval.files.uris import frame_of
from radretrieval.profile import Profile
from radretrieval.storage.decoded import DecodedFilms, MappedFilms, open_decoded
from radretrieval.storage.prepare import PrepareTask, prepare_pool
from radretrieval.storage.source import SourceFile


class LabelledFilms(NamedTuple):
    """What is learnt.

    Attributes
    ----------
    films : of (size, size) pixels. labels : class numbers (n,). classes : the IRMA code of each.
    files : where each film is, and its IRMA code.
    held : bool (n,), true for films that are measured and not learnt.
    digest : hash of all this; equal digests are the same films with the same classes.
    failures : images that cannot be read.
    """

    films: MappedFilms
    labels: NDArray[np.int64]
    classes: list[str]
    files: list[tuple[SourceFile, str]]
    held: NDArray[np.bool_]
    digest: str
    failures: FailureList


def read_films(
    rows: list[dict[str, Any]], settings: Settings, profile: Profile, seed: int, progress: Callable[[int, str], None]
) -> LabelledFilms:
    """The images of `archive.images.training` that can be read; those that are on disk already are not decoded again.

    Parameters
    ----------
    profile : its network's input size, and the share that its training holds out.
    seed : of the choice of films that are held out.
    progress : called with the images that were read, and the step.

    Raises
    ------
    UsageError : they are of fewer than two classes. EnvironmentUnusable : they cannot be kept on disk.
    """
    side = profile.network.input_size
    files = [SourceFile(row["uri"], bytes(row["sha256"])) for row in rows]
    with open_decoded(settings.training_folder, side) as decoded:
        missing = [file for file in files if file not in decoded]
        progress(len(files) - len(missing), "read")
        failures = _decode(missing, decoded, settings, side, lambda: progress(1, "read"))
        there = [(file, row) for file, row in zip(files, rows, strict=True) if file in decoded]
        codes = [str(row["irma_code"]) for _, row in there]
        classes = sorted(set(codes))
        if len(classes) < 2:
            raise UsageError(
                f"training needs images of at least two IRMA codes that can be read; there are {len(there)} images of "
                f"{len(classes)} ({', '.join(classes) or 'none'}; {len(failures)} could not be read)"
            )
        number = {code: place for place, code in enumerate(classes)}
        labels = np.array([number[code] for code in codes], np.int64)
        held = hold_out(codes, [row["patient_key"] for _, row in there], profile.training.held_out, seed)
        films = decoded.films([file for file, _ in there])
    digest = hashlib.sha256(repr(classes).encode() + labels.tobytes() + held.tobytes())
    for file, _ in there:
        digest.update(file.sha256 + frame_of(file.uri).to_bytes(4, "little"))
    files_and_codes = [(file, str(row["irma_code"])) for file, row in there]
    return LabelledFilms(films, labels, classes, files_and_codes, held, digest.hexdigest(), failures)


def _decode(
    files: list[SourceFile], decoded: DecodedFilms, settings: Settings, side: int, advance: Callable[[], None]
) -> FailureList:
    failures = FailureList()
    with prepare_pool(settings) as decoders:
        for task, found in decoders.map(PrepareTask(file, side) for file in files):
            if isinstance(found, Exception):
                failures.add(shown(task.file.uri, settings.path_key_file), found, str(found))
            else:
                decoded.add(task.file, found.network_input)
            advance()
    return failures

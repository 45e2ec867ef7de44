"""The calibration of a new encoder: films that it did not learn are asked about those that it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from radretrieval.coding.calibration import AGREEING, Calibration, Ranked, fit, mean_distance
from radretrieval.coding.cnnc import Coder
from radretrieval.coding.hamming import distances
from radretrieval.coding.radon import barcode, bins
from radretrieval.coding.rerank import Weights, rerank
from radretrieval.config import Settings
from radretrieval.logs import Log
from radretrieval.profile import Profile
from radretrieval.storage.prepare import PrepareTask, prepare_pool
from radretrieval.storage.source import SourceFile

log = Log(__name__)

_BATCH = 64  # films that are encoded at a time


def calibrate(
    films: Sequence[tuple[SourceFile, str]],
    held: NDArray[np.bool_],
    coder: Coder,
    settings: Settings,
    advance: Callable[[int], None],
) -> Calibration | None:
    """Search for each film that was held out among those that were learnt, as the archive would; fit on the answers.

    The films are decoded anew: barcodes need them at another size than the network, and of what training keeps
    (float16) two of three films have another code than a search would give them, by one or two bits.

    Parameters
    ----------
    films : the file of each training film and its IRMA code. held : bool (n,), true for those that were not learnt.
    coder : the trained network.
    advance : called with the films that were encoded.

    Returns
    -------
    None where too few were held out. A film whose file cannot be read any more is left out.
    """
    if not held.any():
        return None
    places, cnnc, rbc = _codes([file for file, _ in films], coder, settings, advance)
    asked = held[places]
    if asked.all() or not asked.any():  # or no film at all
        log.warning(
            "no_calibration",
            "the encoder will state no probabilities: they need films that were learnt and films that were not, and of "
            "these %(films)d only %(read)d can be read; train again when their files are there",
            films=len(films),
            read=len(places),
        )
        return None
    codes = np.array([code for _, code in films])[places]
    answers = ranked(cnnc[asked], rbc[asked], cnnc[~asked], rbc[~asked], codes[~asked].tolist(), coder.profile)
    return fit(answers, codes[asked].tolist())


def _codes(
    files: Sequence[SourceFile], coder: Coder, settings: Settings, advance: Callable[[int], None]
) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.uint8]]:
    """The places of the films that can be read, their CNN codes and their barcodes."""
    size, shape = coder.profile.network.input_size, coder.profile.barcode
    places: list[int] = []
    cnnc, rbc = [], []
    waiting: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def encode() -> None:
        inputs, squares = (np.stack(each) for each in zip(*waiting, strict=True))
        cnnc.append(coder.codes(inputs))
        rbc.append(barcode(squares, shape.size, shape.angles))
        advance(len(waiting))
        waiting.clear()

    with prepare_pool(settings) as decoders:
        tasks = (PrepareTask(file, size, shape.size) for file in files)
        for place, (_, found) in enumerate(decoders.map(tasks)):
            if not isinstance(found, Exception) and found.barcode_input is not None:
                places.append(place)
                waiting.append((found.network_input, found.barcode_input))
            if len(waiting) == _BATCH:
                encode()
    if waiting:
        encode()
    none = [np.empty((0, 0), np.uint8)]
    return np.array(places, np.intp), np.concatenate(cnnc or none), np.concatenate(rbc or none)


def ranked(
    cnnc: NDArray[np.uint8],
    rbc: NDArray[np.uint8],
    learnt_cnnc: NDArray[np.uint8],
    learnt_rbc: NDArray[np.uint8],
    codes: Sequence[str],
    profile: Profile,
) -> list[Ranked]:
    """The answer to each film among those that were learnt, in the order of the profile.

    Parameters
    ----------
    cnnc, rbc : uint8 (m, bytes), of the films that are asked for.
    learnt_cnnc, learnt_rbc : uint8 (n, bytes). codes : n IRMA codes.
    """
    answers = []
    wanted = min(profile.query.candidates, len(codes)) - 1
    cnnc_bits = profile.network.code_bits
    rbc_bits = profile.barcode.angles * bins(profile.barcode.size)
    for code, bars in zip(cnnc, rbc, strict=True):
        far = distances(code, learnt_cnnc)
        near = np.flatnonzero(far <= np.partition(far, wanted)[wanted])  # ties with the last are candidates too
        order, bits = rerank(bars, learnt_rbc[near], far[near], near, Weights.of(profile))
        best = order[:AGREEING]
        hits = near[best]
        answers.append(
            Ranked(
                [codes[place] for place in hits.tolist()],
                (far[hits] / cnnc_bits).tolist(),
                (bits[best] / rbc_bits).tolist(),
                mean_distance(far[near].tolist(), cnnc_bits),
            )
        )
    return answers

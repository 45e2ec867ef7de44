"""The paper's protocol: each query's first hit, scored by ImageCLEF's hierarchical error.

The candidates and their order are those of `search` (distance, then id; re-ranking by barcode), computed from the
archive's codes at once instead of query by query.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import codes, encoders, images
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.engine import Archive
from radretrieval.coding.hamming import nearest
from radretrieval.config import Settings
from radretrieval.errors import UsageError
from radretrieval.irma.error import axis_errors, irma_errors
from radretrieval.retrieval.rerank import rerank

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

BOOTSTRAPS = 2000
BLOCK = 256  # queries compared at a time: bounds memory whatever the archive's size


@dataclass(frozen=True)
class Row:
    """One way of ranking, scored."""

    name: str
    error_score: float
    first_hit_accuracy: float


@dataclass
class Evaluation:
    """Scores of the first hits.

    Attributes
    ----------
    queries : images that were scored. against : images they were compared with.
    error_score : sum of the errors (ImageCLEF's figure). error_per_image : their mean, 0…1.
    first_hit_accuracy : share of queries whose first hit has exactly the query's code.
    axes : mean error of each axis T, D, A, B, 0…1.
    ci95 : 95 % bootstrap interval of error_score.
    ablations : other rankings of the same images.
    unlabelled, uncoded : images of the query split that could not be scored, and why.
    unreadable : queries that the softmax row leaves out, because their file cannot be read any more.
    """

    encoder_id: int
    queries: int
    against: int
    error_score: float
    error_per_image: float
    first_hit_accuracy: float
    axes: dict[str, float]
    ci95: tuple[float, float]
    ablations: list[Row] = field(default_factory=list)
    unlabelled: int = 0
    uncoded: int = 0
    unreadable: int = 0


def evaluate(
    archive: Archive,
    settings: Settings,
    *,
    split: str = "test",
    against: Sequence[str] = ("train",),
    encoder_id: int | None = None,
    device: str = "auto",
    softmax: bool = True,
    advance: Callable[[int], None] | None = None,
) -> Evaluation:
    """Score the first hit of every labelled image of a split.

    Parameters
    ----------
    split : the queries. against : the splits that are searched; `all` is the whole archive.
    softmax : score the network's own classification too (reads and encodes the query files again).
    advance : called with the number of queries that were ranked.

    Raises
    ------
    UsageError : a split has no labelled and coded image. NoEncoder : there is nothing to evaluate.
    """
    with archive.connection() as connection:
        encoder = encoders.get(connection, encoder_id)
        geometry = _geometry(connection, encoder)
        queries = _labelled(connection, encoder, geometry, [split])
        others = _labelled(connection, encoder, geometry, None if "all" in against else against)
        total, labelled = images.labelled(connection, split)
    first = _first_hits(queries, others, encoder.profile.query.candidates, advance or (lambda count: None))
    true = [code for code in queries.irma_codes if code]
    scored = {name: _predictions(others, places) for name, places in first.items()}
    result = _summary(encoder, true, scored["CNNC + RBC"], len(others.image_ids))
    result.unlabelled, result.uncoded = total - labelled, labelled - len(true)
    result.ablations = [_row(name, true, predicted) for name, predicted in scored.items() if name != "CNNC + RBC"]
    if softmax:
        guesses = _softmax(archive, settings, encoder, queries, device)
        able = [(t, guess) for t, guess in zip(true, guesses, strict=True) if guess is not None]
        result.unreadable = len(true) - len(able)
        if able:
            result.ablations.append(_row("softmax", [t for t, _ in able], [guess for _, guess in able]))
    return result


def _geometry(connection: Connection, encoder: Encoder) -> int:
    from radretrieval.coding.radon import bins

    shape = encoder.profile.barcode
    return codes.geometry_id(connection, shape.size, shape.angles, bins(shape.size), shape.rule)


def _labelled(connection: Connection, encoder: Encoder, geometry: int, splits: Sequence[str] | None) -> CodeSet:
    """Codes of the labelled images of these splits; a wrong or empty split is an error that lists the right ones."""
    found = codes.of_splits(connection, encoder.id, geometry, splits)
    keep = [place for place, code in enumerate(found.irma_codes) if code]
    if not keep:
        named = "the archive" if splits is None else f"the split {', '.join(map(repr, splits))}"
        raise UsageError(
            f"{named} has no image with both an IRMA code and a code of encoder {encoder.id}; "
            f"{images.splits_phrase(connection)}. Labels come with ingest --labels, codes with work --once"
        )
    return CodeSet(
        image_ids=found.image_ids[keep],
        cnnc=found.cnnc[keep],
        rbc=found.rbc[keep],
        irma_codes=[found.irma_codes[place] for place in keep],
        uris=[found.uris[place] for place in keep],
        sha256=[found.sha256[place] for place in keep],
    )


def _first_hits(
    queries: CodeSet, others: CodeSet, candidates: int, advance: Callable[[int], None]
) -> dict[str, NDArray[np.intp]]:
    """Positions in `others` of each query's first hit, for each way of ranking; the query itself never counts."""
    result = {name: np.full(len(queries.image_ids), -1, np.intp) for name in ("CNNC + RBC", "CNNC alone", "RBC alone")}
    for start in range(0, len(queries.image_ids), BLOCK):
        part = slice(start, start + BLOCK)
        near, far = nearest(queries.cnnc[part], others.cnnc, candidates + 1)
        bars, _ = nearest(queries.rbc[part], others.rbc, 2)
        for offset, query_id in enumerate(queries.image_ids[part]):
            place = start + offset
            foreign = others.image_ids[near[offset]] != query_id
            mine, distances = near[offset][foreign][:candidates], far[offset][foreign][:candidates]
            if len(mine) == 0:
                continue
            order, _ = rerank(queries.rbc[place], others.rbc[mine], distances, others.image_ids[mine])
            result["CNNC + RBC"][place] = mine[order[0]]
            result["CNNC alone"][place] = mine[0]
            result["RBC alone"][place] = bars[offset][others.image_ids[bars[offset]] != query_id][0]
        advance(len(near))
    return result


def _predictions(others: CodeSet, places: NDArray[np.intp]) -> list[str]:
    """The codes at these positions; a query without any other image gets the code that says nothing."""
    return [(others.irma_codes[place] or "") if place >= 0 else "****-***-***-***" for place in places]


def _softmax(archive: Archive, settings: Settings, encoder: Encoder, queries: CodeSet, device: str) -> list[str | None]:
    """The network's own class of each query, from its file; None where that cannot be read any more."""
    from radretrieval.coding.cnnc import Coder
    from radretrieval.imaging.decoders import Decoders
    from radretrieval.imaging.original import Original, read_resampled

    with archive.connection() as connection:
        coder = Coder(encoders.weights(connection, encoder, settings.home / "weights"), encoder.profile, device)
    job = partial(read_resampled, size=encoder.profile.network.input_size, max_pixels=settings.max_pixels)
    sources = [Original(*pair) for pair in zip(queries.uris, queries.sha256, strict=True)]
    predicted: list[str | None] = []
    with Decoders(
        os.cpu_count() or 1, job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes
    ) as decoders:
        results = (found for _, found in decoders.map(sources))
        while batch := list(islice(results, 64)):
            inputs = [found for found in batch if not isinstance(found, Exception)]
            best = iter(coder.class_probabilities(np.stack(inputs)).argmax(1) if inputs else ())
            predicted += [None if isinstance(found, Exception) else encoder.classes[next(best)] for found in batch]
    return predicted


def _summary(encoder: Encoder, true: list[str], predicted: list[str], against: int) -> Evaluation:
    errors = irma_errors(true, predicted)
    axes = np.array([axis_errors(t, p) for t, p in zip(true, predicted, strict=True)]).mean(0)
    draws = np.random.default_rng(0).integers(0, len(errors), (BOOTSTRAPS, len(errors)))
    low, high = np.percentile(errors[draws].sum(1), [2.5, 97.5])
    return Evaluation(
        encoder_id=encoder.id,
        queries=len(true),
        against=against,
        error_score=float(errors.sum()),
        error_per_image=float(errors.mean()),
        first_hit_accuracy=_accuracy(true, predicted),
        axes=dict(zip("TDAB", map(float, axes), strict=True)),
        ci95=(float(low), float(high)),
    )


def _row(name: str, true: list[str], predicted: list[str]) -> Row:
    return Row(name, float(irma_errors(true, predicted).sum()), _accuracy(true, predicted))


def _accuracy(true: list[str], predicted: list[str]) -> float:
    return sum(t == p for t, p in zip(true, predicted, strict=True)) / len(true)

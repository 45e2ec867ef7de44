"""The report of an encoder's codes: dead and duplicate bits, collisions, distances within and across classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import code_facts, connections, encoders
from radretrieval.archive.code_facts import Collision, Counts
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.coding import code_statistics as figures
from radretrieval.coding.code_statistics import BitTally, Duplicates, NearestTally
from radretrieval.errors import UsageError

BATCH = 4096  # codes in memory at a time
MOST_COMPARED = 4000  # labelled images that are all compared with each other: 8 million pairs
MOST_QUERIES = 256  # images whose nearest codes are found among all
FEW = 100  # with fewer codes, bits can be dead or equal by chance
DENSITY_BINS, DISTANCE_WIDTH = 20, 10
WORST, IDS = 5, 5  # collisions that are listed, and image ids of each of their classes


@dataclass(frozen=True)
class Density:
    """Share of codes in which a bit is 1, over the bits: mean, min, max, percentiles; bits in 20 equal bins of 0…1."""

    mean: float
    min: float
    max: float
    p5: float
    median: float
    p95: float
    histogram: list[int]


@dataclass(frozen=True)
class Dead:
    """Bits that are 0, and bits that are 1, in every code; numbered MSB first from 0."""

    zero: list[int]
    one: list[int]


@dataclass(frozen=True)
class Collisions:
    """Codes that labelled images of different IRMA codes share.

    Attributes
    ----------
    codes, images : how many codes, and how many labelled images have one of them.
    worst : the five codes of most classes (then images): images, classes, members[irma_code, images, image_ids].
    """

    codes: int
    images: int
    worst: list[Collision]


@dataclass(frozen=True)
class Spread:
    """Hamming distances of pairs: how many, mean, percentiles (a distance that so many do not exceed), bins of 10."""

    pairs: int
    mean: float
    p1: int
    p5: int
    median: int
    p95: int
    histogram: list[int]


@dataclass(frozen=True)
class Distances:
    """Distances of all pairs among labelled images.

    Attributes
    ----------
    images : how many were compared. of : how many there are; more than `images` where a sample was compared.
    within, across : of pairs of one IRMA code (None: no such pair), and of two IRMA codes.
    separability : probability that a pair within a class is nearer than one across classes, ties half (the area under
        the ROC curve): 1 is perfect, 0.5 is chance. None without pairs within a class.
    independent_bits : Daugman's degrees of freedom of the distances across classes, p(1-p)/s²: as many independent
        coin tosses would scatter as they do. Far below the number of bits where bits go together. None where all
        distances are equal.
    """

    images: int
    of: int
    within: Spread | None
    across: Spread
    separability: float | None
    independent_bits: float | None


@dataclass(frozen=True)
class Nearest:
    """Distance from a code to the other codes nearest to it: the median over `queries` images.

    `first` is to the nearest; `last` to the `candidates`th, the last that a search re-ranks (None: fewer codes).
    """

    queries: int
    candidates: int
    first: float
    last: float | None


@dataclass(frozen=True)
class CodeReport:
    """Statistics of the codes of one encoder; the attributes are the keys of `encoder report --json`.

    Attributes
    ----------
    encoder_id, profile : the encoder. bits : length of its codes.
    codes : how many codes it has. labelled : of so many images with an IRMA code. classes : so many IRMA codes.
    density : mean, min, max, p5, median, p95, histogram.
    dead : zero, one (lists of bits).
    duplicates : equal (groups of bits), complement (pairs of groups), redundant. Dead bits are not among them.
    entropy_bits : sum of the bits' entropies, 0…bits: an upper bound of the codes' entropy.
    distinct_codes : different codes. sharing : images that have the same code as another image.
    collisions : codes, images, worst; None with fewer than two classes.
    distances : images, of, within, across, separability, independent_bits; None with fewer than two classes.
    nearest : queries, candidates, first, last.
    notes : what was left out or sampled.
    """

    encoder_id: int
    profile: str
    bits: int
    codes: int
    labelled: int
    classes: int
    density: Density
    dead: Dead
    duplicates: Duplicates
    entropy_bits: float
    distinct_codes: int
    sharing: int
    collisions: Collisions | None
    distances: Distances | None
    nearest: Nearest
    notes: list[str]


def code_report(
    database: Database,
    encoder_id: int | None = None,
    *,
    most: int = MOST_COMPARED,
    advance: Callable[[int], None] | None = None,
) -> CodeReport:
    """Compute the statistics of all codes of an encoder (the active one by default), in one snapshot.

    Parameters
    ----------
    most : labelled images that are compared with each other; of more, a repeatable sample.
    advance : called with the number of codes that were read.

    Raises
    ------
    NoEncoder : the archive has none (or none is active).
    UsageError : an unknown encoder, or one with fewer than two codes.
    """
    with database.connection() as connection:
        connections.snapshot(connection)
        encoder = encoders.get(connection, encoder_id)
        counts = code_facts.counts(connection, encoder.id)
        _require_two(encoder, counts.codes)
        bits, near = _all_codes(connection, encoder, advance or (lambda count: None))
        equal = code_facts.equal(connection, encoder.id)
        comparable = counts.classes > 1
        collisions = Collisions(*code_facts.collisions(connection, encoder.id, WORST, IDS)) if comparable else None
        distances = _distances(connection, encoder, counts.labelled, most) if comparable else None
    return CodeReport(
        encoder_id=encoder.id,
        profile=encoder.profile.name,
        bits=bits.bits,
        codes=counts.codes,
        labelled=counts.labelled,
        classes=counts.classes,
        density=_density(bits),
        dead=Dead(*bits.dead()),
        duplicates=bits.duplicates(),
        entropy_bits=bits.entropy(),
        distinct_codes=equal.distinct,
        sharing=equal.sharing,
        collisions=collisions,
        distances=distances,
        nearest=near,
        notes=list(_notes(counts, distances)),
    )


def _require_two(encoder: Encoder, codes: int) -> None:
    if codes < 2:
        has = "one code only" if codes else "no codes yet"
        raise UsageError(
            f"encoder {encoder.id} has {has}, and a report compares codes; run: radretrieval work --once "
            f"--encoder {encoder.id}"
        )


def _all_codes(connection: Connection, encoder: Encoder, advance: Callable[[int], None]) -> tuple[BitTally, Nearest]:
    """One pass over all codes: statistics of their bits, and the nearest codes of a sample."""
    candidates = encoder.profile.query.candidates
    queries = code_facts.sample(connection, encoder.id, MOST_QUERIES, labelled=False).cnnc
    bits, near = BitTally(encoder.profile.network.code_bits), NearestTally(queries, candidates)
    for batch in code_facts.batches(connection, encoder.id, BATCH):
        bits.add(batch)
        near.add(batch)
        advance(len(batch))
    found = near.nearest()
    last = float(np.median(found[:, candidates - 1])) if found.shape[1] >= candidates else None
    return bits, Nearest(len(queries), candidates, float(np.median(found[:, 0])), last)


def _density(bits: BitTally) -> Density:
    found = bits.densities()
    p5, median, p95 = np.percentile(found, [5, 50, 95]).tolist()
    return Density(
        mean=float(found.mean()),
        min=float(found.min()),
        max=float(found.max()),
        p5=p5,
        median=median,
        p95=p95,
        histogram=bits.density_histogram(DENSITY_BINS),
    )


def _distances(connection: Connection, encoder: Encoder, labelled: int, most: int) -> Distances | None:
    """Distances among labelled images; None where the sample has one class only."""
    sample = code_facts.sample(connection, encoder.id, most, labelled=True)
    classes = np.unique(np.array(sample.irma_codes, str), return_inverse=True)[1]
    within, across = figures.pair_histograms(sample.cnnc, classes)
    if not across.any():
        return None
    return Distances(
        images=len(classes),
        of=labelled,
        within=_spread(within) if within.any() else None,
        across=_spread(across),
        separability=figures.separability(within, across) if within.any() else None,
        independent_bits=figures.independent_bits(across),
    )


def _spread(histogram: NDArray[np.int64]) -> Spread:
    p1, p5, median, p95 = (figures.percentile(histogram, percent) for percent in (1, 5, 50, 95))
    return Spread(
        pairs=int(histogram.sum()),
        mean=figures.mean_and_variance(histogram)[0],
        p1=p1,
        p5=p5,
        median=median,
        p95=p95,
        histogram=figures.binned(histogram, DISTANCE_WIDTH),
    )


def _notes(counts: Counts, distances: Distances | None) -> Iterator[str]:
    if counts.codes < FEW:
        yield f"only {counts.codes} codes: bits may be dead or duplicates by chance"
    if counts.classes < 2:
        yield (
            f"distances by class and collisions are left out: the {counts.labelled} labelled images among the "
            f"{counts.codes} coded ones have {counts.classes} different IRMA codes, and two are needed; labels come "
            "with ingest --labels"
        )
    elif distances is None:
        yield "distances by class are left out: the images that were drawn are all of one IRMA code"
    else:
        if distances.images < distances.of:
            compared = f"{distances.images} of {distances.of} labelled images"
            yield f"distances are those among {compared}, always the same ones"
        if distances.within is None:
            yield "distances within a class are left out: no two of the compared images have the same IRMA code"

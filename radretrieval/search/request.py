"""A search's request and answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from radretrieval import metrics
from radretrieval.archive.filters import ONE_PER, Condition, Filter
from radretrieval.archive.search.nearest import FilterEffect
from radretrieval.archive.search.stored import HitFacts
from radretrieval.coding.calibration import Likelihood
from radretrieval.errors import UsageError
from radretrieval.search.query import Query

if TYPE_CHECKING:
    from radretrieval.search.roi import Region

ROI_METHODS = ("context", "paper")
ROI_POLARITIES = ("same", "either")
MOST_JUDGED = 1000  # images that refine a search
STAGES = ("read", "encode", "barcode", "candidates", "rerank", "roi", "total")


@dataclass(frozen=True)
class Request:
    """A query and what its hits must be.

    Attributes
    ----------
    query : a file, the id of an image of the archive, or a file in memory.
    top, candidates : how many hits, from how many of the nearest codes.
    roi : x, y, width, height in pixels of the query's original image.
    roi_method : `context`, the region with its surroundings (`search.region`), or `paper`, the paper's correlation.
    roi_polarity : `either` also finds the region where dark and bright are exchanged; `same` or `either`.
    where, where_sql, one_per, max_distance : conditions on a hit, see `archive.filters.Filter`.
    exclude_same_patient : leave the query's patient out.
    explain : whether each hit gets an `Explanation`.
    relevant, not_relevant : images of the archive by which the search is refined, see `search.refine`.
    """

    query: Query
    top: int = 10
    candidates: int = 50
    roi: tuple[int, int, int, int] | None = None
    roi_method: str = "context"
    roi_polarity: str = "same"
    where: tuple[Condition, ...] = ()
    where_sql: str | None = None
    one_per: str | None = None
    max_distance: int | None = None
    exclude_same_patient: bool = False
    explain: bool = False
    relevant: tuple[int, ...] = ()
    not_relevant: tuple[int, ...] = ()

    @property
    def refined(self) -> bool:
        """Whether it is refined by images that a user judged."""
        return bool(self.relevant or self.not_relevant)

    def filter(self, image_id: int | None, patient_key: str | None) -> Filter:
        """The filter on candidates for a query that is this image (None: not in the archive), of this patient."""
        return Filter(
            where=self.where,
            sql=self.where_sql,
            not_images=() if image_id is None else (image_id,),
            not_patient=patient_key if self.exclude_same_patient else None,
            one_per=self.one_per,
            max_distance=self.max_distance,
        )


@dataclass(frozen=True)
class Explanation:
    """Why one hit stands where it does.

    Attributes
    ----------
    cnnc_rank : its place among the candidates by CNNC distance alone, from 1.
    cnnc_part, rbc_part : what each distance adds to its key, 0…1; the hit with the smallest sum comes first. None in a
        refined answer, which is in another order.
    angle_distances : in how many bits each projection of the barcodes differs, from 0° on; their sum is the distance.
    as_query, as_most : of each axis (T, D, A, B) of its IRMA code, whether the query's, and most of the hits', is the
        same; None where a code is missing.
    """

    cnnc_rank: int
    cnnc_part: float | None
    rbc_part: float | None
    angle_distances: tuple[int, ...]
    as_query: dict[str, bool | None]
    as_most: dict[str, bool | None]


@dataclass(frozen=True)
class Similarity:
    """How similar the nearest images are, against films that the encoder did not learn.

    Attributes
    ----------
    nothing : they are farther than can be expected: the archive has nothing similar (among what passes the filter).
    distance : the mean CNNC distance of the three nearest, in bits.
    farther_than : the share of the films held out at training whose nearest were nearer, 0 … 1.
    films : how many these were.
    """

    nothing: bool
    distance: float
    farther_than: float
    films: int


@dataclass(frozen=True, kw_only=True)
class Hit(HitFacts):
    """One hit; `roi` is None when none was asked for or when the file cannot be read (`roi_error`).

    reduced : why the original could not be read, where the region was found in a reduced copy.
    likelihood : how likely its IRMA code, and each axis of it, is the query's; None where nothing says so: see
        `search.judge`.
    """

    rank: int
    image_id: int
    cnnc_distance: int
    rbc_distance: int
    roi: Region | None = None
    roi_error: str | None = None
    reduced: str | None = None
    explanation: Explanation | None = None
    likelihood: Likelihood | None = None

    def to_record(self) -> dict[str, Any]:
        """The hit as JSON has it; `roi` is a dictionary of x, y, width, height, score and found."""
        return {
            "rank": self.rank,
            "image_id": self.image_id,
            "uri": self.uri,
            "irma_code": self.irma_code,
            "cnnc_distance": self.cnnc_distance,
            "rbc_distance": self.rbc_distance,
            "probability": self.likelihood.code if self.likelihood else None,
            "axis_probabilities": self.likelihood.axes() if self.likelihood else None,
            "patient_key": self.patient_key,
            "study_instance_uid": self.study_instance_uid,
            "study_date": self.study_date.isoformat() if self.study_date else None,
            "modality": self.modality,
            "body_part": self.body_part,
            "view_position": self.view_position,
            "laterality": self.laterality,
            "roi": self.roi._asdict() if self.roi else None,
            "reduced": self.reduced,
            "explanation": asdict(self.explanation) if self.explanation else None,
        }


@dataclass
class Answer:
    """The hits of a query, best first.

    Attributes
    ----------
    request : the query and its conditions.
    query_image_id : the id of the query in the archive, None for a file that is not in it.
    similarity : how similar the nearest images are; None for an encoder without calibration.
    query_sha256 : of the query's file; None where not known.
    query_flat : the query's pixels show nothing: what is nearest to it says nothing.
    majority_irma_code : on each axis what most of the hits have; None unless the answer is explained.
    query_problems : what was ignored of a new file's header, and that it is raw values of a detector, as `ingest` says
        it; nothing of a file whose codes the archive has.
    path : how the candidates were found: `exact-index`, `exact-filter`, `exact-scan`, `hnsw`, or `federated` (exactly).
    recall : mean and worst recall of `hnsw` when it was last measured; None where it was not, and for exact paths.
    candidates : how many codes were re-ranked: as many as were asked for, and those that tie with the last.
    effect : how many images the filter kept and hid; None without a filter.
    pending : images that have no code yet and cannot be found; counted only when there are fewer candidates than asked.
    timings_ms : milliseconds of each stage of `STAGES`; for a new file, `candidates` is the wait for the database after
        the barcode, which is computed at the same time.
    """

    request: Request
    encoder_id: int
    candidates: int
    hits: list[Hit]
    path: str
    recall: tuple[float, float] | None
    effect: FilterEffect | None
    pending: int
    query_image_id: int | None
    query_irma_code: str | None
    query_sha256: bytes | None = None
    similarity: Similarity | None = None
    query_flat: bool = False
    majority_irma_code: str | None = None
    query_problems: list[str] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def requested(self) -> int:
        """How many hits were asked for."""
        return self.request.top

    @property
    def returned(self) -> int:
        """How many hits there are."""
        return len(self.hits)

    def to_records(self) -> list[dict[str, Any]]:
        """The hits, best first, each as a dictionary: rows for `pandas.DataFrame` or JSON."""
        return [hit.to_record() for hit in self.hits]

    def document(self) -> dict[str, Any]:
        """The answer as one JSON document."""
        filtered: dict[str, Any] = {"matched": None, "hidden": None}
        if self.effect is not None:
            filtered = {
                "matched": self.effect.matched,
                "matched_at_least": self.effect.more_matched,
                "hidden": self.effect.hidden,
                "hidden_at_least": self.effect.more_hidden,
            }
        return {
            "encoder_id": self.encoder_id,
            "query_image_id": self.query_image_id,
            "query_flat": self.query_flat,
            "majority_irma_code": self.majority_irma_code,
            "query_problems": self.query_problems,
            "path": self.path,
            "recall": self.recall[0] if self.recall else None,
            "recall_worst": self.recall[1] if self.recall else None,
            "requested": self.requested,
            "returned": self.returned,
            "candidates": self.candidates,
            **filtered,
            "nothing_similar": self.similarity.nothing if self.similarity else None,
            "nearest_distance": self.similarity.distance if self.similarity else None,
            "farther_than": self.similarity.farther_than if self.similarity else None,
            "refined": self.request.refined,
            "hits": self.to_records(),
            "timings_ms": self.timings_ms,
        }


def check_request(request: Request) -> None:
    """Raise UsageError for a number or a name in a request that is out of range."""
    for name, value in (("--top", request.top), ("--candidates", request.candidates)):
        if not 1 <= value <= 100_000:
            raise UsageError(f"{name} {value}: it takes a number from 1 to 100000")
    if request.candidates < request.top:
        raise UsageError(
            f"--candidates {request.candidates} is smaller than --top {request.top}: hits are candidates; "
            f"use --candidates {request.top} or more"
        )
    if request.one_per not in (None, *ONE_PER):
        raise UsageError(f"--one-per {request.one_per}: it is one of: {', '.join(ONE_PER)}")
    marked = [*request.relevant, *request.not_relevant]
    if len(set(marked)) < len(marked):
        raise UsageError("--relevant and --not-relevant: an image is named twice; name each once")
    if len(marked) > MOST_JUDGED:
        raise UsageError(f"--relevant and --not-relevant: {len(marked)} images; name at most {MOST_JUDGED}")
    if request.roi_method not in ROI_METHODS:
        raise UsageError(f"--roi-method {request.roi_method}: it is one of: {', '.join(ROI_METHODS)}")
    if request.roi_polarity not in ROI_POLARITIES:
        raise UsageError(f"--roi-polarity {request.roi_polarity}: it is one of: {', '.join(ROI_POLARITIES)}")
    if request.roi_method == "paper" and request.roi_polarity != "same":
        raise UsageError("--roi-polarity either: the paper's way compares one polarity; leave out --roi-method paper")
    if request.max_distance is not None and not 0 <= request.max_distance <= 1000:
        raise UsageError(f"--max-distance {request.max_distance}: it takes a number of bits from 0 to 1000")


class StageTimer:
    """Milliseconds of each stage, and of all since the timer was made."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.spent = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's time to a stage, less that of stages within it."""
        before, other = time.perf_counter(), sum(self.spent.values())
        yield
        self.spent[name] += time.perf_counter() - before - (sum(self.spent.values()) - other)

    def milliseconds(self) -> dict[str, float]:
        """The stages' times and the total until now."""
        self.spent["total"] = time.perf_counter() - self.start
        for name, seconds in self.spent.items():
            metrics.observe(metrics.STAGE, seconds, name)
        return {name: round(seconds * 1000, 3) for name, seconds in self.spent.items()}

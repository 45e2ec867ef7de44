"""The answers of searches as JSON: the document of `radretrieval search --json`, and what the page needs beside it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from radretrieval.errors import UsageError
from radretrieval.irma.tree import describe, in_short
from radretrieval.serve.film import Film

Axes = dict[Literal["T", "D", "A", "B"], float]
Agreement = dict[Literal["T", "D", "A", "B"], bool | None]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")  # what the command line says new, this says too


class RegionDocument(_Document):
    """The place of a region in an image, in its pixels; `score` is -1 … 1."""

    x: int
    y: int
    width: int
    height: int
    score: float
    found: bool


class ExplanationDocument(_Document):
    """Why a hit stands where it does; see `radretrieval search --explain`."""

    cnnc_rank: int
    cnnc_part: float | None
    rbc_part: float | None
    angle_distances: list[int]
    as_query: Agreement
    as_most: Agreement


class CodeInWords(BaseModel):
    """A code in words: `axes` of technique, direction, anatomy and biosystem; `short` for a small space."""

    axes: tuple[str, str, str, str]
    short: list[str]


def in_words(code: str) -> CodeInWords | None:
    """An IRMA code in words; None for what is no IRMA code."""
    try:
        return CodeInWords(axes=describe(code), short=list(in_short(code)))
    except UsageError:
        return None


class HitDocument(_Document):
    """A hit; `duplicate_of` is an earlier hit of which it is a near-duplicate, `words` its code in words."""

    rank: int
    image_id: int
    uri: str
    irma_code: str | None
    cnnc_distance: int
    rbc_distance: int
    probability: float | None
    axis_probabilities: Axes | None
    patient_key: str | None
    study_instance_uid: str | None
    study_date: str | None
    modality: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None
    roi: RegionDocument | None
    reduced: str | None
    explanation: ExplanationDocument | None
    duplicate_of: int | None
    words: CodeInWords | None


class QueryDocument(_Document):
    """The query: `upload` names an uploaded file in further requests, `image_id` an image of the archive.

    film : how it is shown; None where its file cannot be read.
    problems : what was ignored of the file's header.
    """

    name: str
    upload: str | None
    image_id: int | None
    irma_code: str | None
    film: Film | None
    problems: list[str]


class AnswerDocument(_Document):
    """An answer; `matched` and `hidden` say how many images a filter kept, and how many nearer ones it hid."""

    encoder_id: int
    query_image_id: int | None
    query_flat: bool
    majority_irma_code: str | None
    query_problems: list[str]
    path: str
    recall: float | None
    recall_worst: float | None
    requested: int
    returned: int
    candidates: int
    matched: int | None
    matched_at_least: bool = False
    hidden: int | None
    hidden_at_least: bool = False
    nothing_similar: bool | None
    nearest_distance: float | None
    farther_than: float | None
    refined: bool
    hits: list[HitDocument]
    timings_ms: dict[str, float]
    query: QueryDocument


class ImageRegion(_Document):
    """The region in one image of that size, or why its file cannot be read."""

    image_id: int
    rows: int | None
    columns: int | None
    roi: RegionDocument | None
    error: str | None


class RegionsDocument(_Document):
    """The region in each of the images that were asked for, in their order."""

    regions: list[ImageRegion]

"""Labels that may be wrong: images whose nearest neighbours have another code, body part, view or laterality."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import connections, encoders, exports, images
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.labelled_codes import FIELDS, LabelledCodes, labelled_codes
from radretrieval.coding.label_votes import neighbours, vote
from radretrieval.errors import UsageError
from radretrieval.files.text import shown
from radretrieval.storage.source import SourceFile

BATCH = 256  # images whose neighbours are in memory at a time


@dataclass(frozen=True)
class Labels:
    """What labels and headers say of an image; None where they say nothing."""

    irma_code: str | None
    body_part: str | None
    view_position: str | None
    laterality: str | None


@dataclass(frozen=True)
class Finding:
    """A label that the neighbours are against.

    Attributes
    ----------
    field : irma_code, body_part, view_position or laterality. value : the image's own.
    proposed : the value that has most of the voters' weight.
    voters : how many neighbours voted. agreeing : those with the image's value. against : those with the proposed one.
    suspicion : natural logarithm of the odds of `proposed` against `value`, by the voters' weights.
    """

    field: str
    value: str
    proposed: str
    voters: int
    agreeing: int
    against: int
    suspicion: float


@dataclass(frozen=True)
class Neighbour:
    """An image that voted. distance : of the two codes, in bits."""

    image_id: int
    distance: int
    file: str
    labels: Labels


@dataclass(frozen=True)
class Suspect:
    """An image whose labels may be wrong.

    Attributes
    ----------
    suspicion : that of its first finding. findings : the most suspicious label first.
    neighbours : the voters on that label, nearest first.
    """

    image_id: int
    file: str
    suspicion: float
    labels: Labels
    findings: list[Finding]
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class LabelAudit:
    """The images whose labels may be wrong; the attributes, `files` apart, are the keys of `audit labels --json`.

    Attributes
    ----------
    encoder_id, profile : whose codes were compared. codes : how many it has.
    judged : images with a label, and neighbours of other patients that vote on it.
    suspicious : those whose neighbours are against a label. images : the most suspicious of them.
    notes : what the list leaves out. files : by id, those of `images` and of their neighbours.
    """

    encoder_id: int
    profile: str
    codes: int
    judged: int
    suspicious: int
    images: list[Suspect]
    notes: list[str]
    seconds: float
    files: dict[int, SourceFile]

    def document(self) -> dict[str, Any]:
        """The answer of `audit labels --json`."""
        document = asdict(self)
        del document["files"]
        return document


def audit_labels(
    database: Database,
    *,
    encoder_id: int | None = None,
    where: Filter | None = None,
    top: int = 100,
    path_key: Path | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> LabelAudit:
    """List the images whose nearest neighbours, of other patients, have other labels than they have, worst first.

    Parameters
    ----------
    encoder_id : None for the active one.
    where : which images are judged; all of them vote. None for all.
    top : images that are listed at most.
    path_key : the key file of hidden paths.
    advance : called with the images that were judged, of how many.

    Raises
    ------
    NoEncoder : the archive has none (or none is active).
    UsageError : an unknown encoder, a filter that names no column, or fewer than two images with codes.
    """
    started = time.monotonic()
    with database.connection() as connection:
        wanted = exports.ids(connection, where) if where is not None and where.narrows else None
        connections.snapshot(connection)
        encoder = encoders.get(connection, encoder_id)
        labelled = labelled_codes(connection, encoder.id)
        _require_two(encoder, labelled)
        places = np.arange(len(labelled.image_ids))
        if wanted is not None:
            places = places[np.isin(labelled.image_ids, np.asarray(wanted, np.int64))]
        worst = _suspicion(labelled, places, advance)
        order = np.argsort(-worst, kind="stable")  # of equal ones the smaller id comes first
        order = order[worst[order] > 0]
        listed, files = _listed(connection, labelled, places[order[:top]], path_key)
    return LabelAudit(
        encoder_id=encoder.id,
        profile=encoder.profile.name,
        codes=len(labelled.image_ids),
        judged=int(np.isfinite(worst).sum()),
        suspicious=len(order),
        images=listed,
        notes=list(_notes(labelled, places, worst)),
        seconds=round(time.monotonic() - started, 3),
        files=files,
    )


def _require_two(encoder: Encoder, labelled: LabelledCodes) -> None:
    if len(labelled.image_ids) < 2:
        has = "one code only" if len(labelled.image_ids) else "no codes yet"
        raise UsageError(
            f"encoder {encoder.id} has {has}, and an audit compares images; run: radretrieval work --once "
            f"--encoder {encoder.id}"
        )


def _suspicion(
    labelled: LabelledCodes, places: NDArray[np.int64], advance: Callable[[int, int], None] | None
) -> NDArray[np.float64]:
    """The suspicion of the most suspicious label of each image, (m,); -inf for one that is not judged."""

    def judge(some: NDArray[np.int64]) -> NDArray[np.float64]:
        near = neighbours(labelled.cnnc, labelled.patients, some)
        votes = [vote(labelled.values[name], some, near).suspicion for name in FIELDS]
        worst: NDArray[np.float64] = np.max(votes, axis=0)
        return worst

    batches = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
    found = [np.empty(0)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # numpy compares codes without the interpreter's lock
        for some in threads.map(judge, batches):
            found.append(some)
            if advance is not None:
                advance(len(some), len(places))
    return np.concatenate(found)


def _listed(
    connection: Connection, labelled: LabelledCodes, places: NDArray[np.int64], path_key: Path | None
) -> tuple[list[Suspect], dict[int, SourceFile]]:
    """The suspects at these places, and the files of them and of their neighbours."""
    found = [one for start in range(0, len(places), BATCH) for one in _found(labelled, places[start : start + BATCH])]
    ids = {int(labelled.image_ids[place]) for one in found for place in (one.place, *one.voters)}
    rows = images.identities(connection, sorted(ids))
    files = {image_id: SourceFile(row.uri, row.sha256) for image_id, row in rows.items()}

    def described(place: int) -> tuple[int, str, Labels]:
        image_id = int(labelled.image_ids[place])
        said = {name: labelled.value(name, place) for name in FIELDS}
        return image_id, shown(files[image_id].uri, path_key), Labels(**said)

    suspects = []
    for one in found:
        image_id, file, labels = described(one.place)
        near = []
        for place, distance in zip(one.voters, one.distances, strict=True):
            other_id, other_file, others = described(place)
            near.append(Neighbour(other_id, distance, other_file, others))
        suspects.append(Suspect(image_id, file, one.findings[0].suspicion, labels, one.findings, near))
    return suspects, files


@dataclass(frozen=True)
class _Found:
    """A suspect by places: it, its findings, the voters on the first of them and their distances."""

    place: int
    findings: list[Finding]
    voters: list[int]
    distances: list[int]


def _found(labelled: LabelledCodes, places: NDArray[np.int64]) -> Iterator[_Found]:
    near = neighbours(labelled.cnnc, labelled.patients, places)
    votes = {name: vote(labelled.values[name], places, near) for name in FIELDS}
    for row, place in enumerate(places.tolist()):
        findings = []
        for name, on in votes.items():
            if on.suspicion[row] > 0:
                own, proposed = int(labelled.values[name][place]), int(on.proposed[row])
                said = labelled.values[name][near.places[row][on.voters[row]]]
                counts = len(said), int((said == own).sum()), int((said == proposed).sum())
                terms = labelled.terms[name]
                findings.append(Finding(name, terms[own], terms[proposed], *counts, float(on.suspicion[row])))
        findings.sort(key=lambda finding: -finding.suspicion)
        voted = votes[findings[0].field].voters[row]
        yield _Found(place, findings, near.places[row][voted].tolist(), near.distances[row][voted].tolist())


def _notes(labelled: LabelledCodes, places: NDArray[np.int64], worst: NDArray[np.float64]) -> Iterator[str]:
    if not any((labelled.values[name][places] >= 0).any() for name in FIELDS):
        yield (
            "none of these images has an IRMA code, body part, view or laterality; labels come with: radretrieval "
            "ingest FOLDER --labels labels.csv"
        )
    elif not np.isfinite(worst).any():
        yield "no image has a neighbour of another patient with the same kind of label, and nothing can be compared"

"""Labels that may be wrong: images whose nearest neighbours have another code, body part, view or laterality."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radretrieval.archive import codes, connections, encoders, exports, images
from radretrieval.archive.connections import Connection, Database
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.filters import Filter
from radretrieval.archive.labelled_codes import FIELDS, LabelledCodes, labelled_codes
from radretrieval.coding.label_votes import Neighbours, neighbours, shared, vote
from radretrieval.coding.radon import geometry
from radretrieval.errors import UsageError
from radretrieval.files.text import shown
from radretrieval.jobs.reported_labels import Labels, ReportedLabels, reported_labels
from radretrieval.storage.source import SourceFile

LISTED_FROM = -2.0  # suspicion: also where the votes by code and by barcode contradict each other
MOST_THREADS = 4  # each holds the distances of a batch to every image
BATCH = 256  # images whose neighbours are in memory at a time


@dataclass(frozen=True)
class Finding:
    """A label that the neighbours are against.

    Attributes
    ----------
    field : irma_code, body_part, view_position or laterality. value : the image's own.
    proposed : the value that has most of the voters' weight.
    voters : how many neighbours voted, by code and by barcode. agreeing : those with the image's value. against : those
        with the proposed one.
    suspicion : natural logarithm of the odds of `proposed` against `value`, by the voters' weights, summed over both.
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
    """An image that voted. by : `code` or `barcode`, the vote. distance : of the two codes or barcodes, in bits."""

    image_id: int
    by: str
    distance: int
    file: str
    labels: Labels


@dataclass(frozen=True)
class Suspect:
    """An image whose labels may be wrong.

    Attributes
    ----------
    suspicion : that of its first finding. findings : the most suspicious label first.
    neighbours : the voters on that label: those by code, nearest first, then those by barcode.
    """

    image_id: int
    file: str
    suspicion: float
    labels: Labels
    findings: list[Finding]
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class UnsharedLabel:
    """A label that no image of another patient has: no neighbour can vote for it."""

    image_id: int
    field: str
    value: str


@dataclass(frozen=True)
class LabelAudit:
    """The images whose labels may be wrong; the attributes, `files` apart, are the keys of `audit labels --json`.

    Attributes
    ----------
    encoder_id, profile : whose codes were compared. codes : how many it has.
    reports : what users say of labels that have not changed since, those on one image together.
    judged : images with a label that images of other patients have too, and neighbours of those that vote on it.
    suspicious : those with a label whose suspicion is above -2. images : the most suspicious of them.
    unshared : labels that have voters, and are not judged, as no voter can have them; by image.
    notes : what the list leaves out. files : by id, those of `images`, of their neighbours, and of `reports`.
    """

    encoder_id: int
    profile: str
    codes: int
    reports: list[ReportedLabels]
    judged: int
    suspicious: int
    images: list[Suspect]
    unshared: list[UnsharedLabel]
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
    where : which images are judged, and reports on which are listed; all images vote. None for all.
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
        shape = geometry(encoder.profile.barcode)
        barcodes = codes.known_geometry(connection, *shape)
        labelled = labelled_codes(connection, encoder.id, barcodes, -(-shape[1] * shape[2] // 8))
        _require_two(encoder, labelled)
        places = np.arange(len(labelled.image_ids))
        if wanted is not None:
            places = places[np.isin(labelled.image_ids, np.asarray(wanted, np.int64))]
        worst, unshared = _suspicion(labelled, places, advance)
        order = np.argsort(-worst, kind="stable")  # of equal ones the smaller id comes first
        order = order[worst[order] > LISTED_FROM]
        reports, of_reports = reported_labels(connection, None if wanted is None else set(wanted), path_key)
        listed, files = _listed(connection, labelled, places[order[:top]], path_key)
    return LabelAudit(
        encoder_id=encoder.id,
        profile=encoder.profile.name,
        codes=len(labelled.image_ids),
        reports=reports,
        judged=int(np.isfinite(worst).sum()),
        suspicious=len(order),
        images=listed,
        unshared=unshared,
        notes=list(_notes(labelled, places, worst, unshared)),
        seconds=round(time.monotonic() - started, 3),
        files=of_reports | files,
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
) -> tuple[NDArray[np.float64], list[UnsharedLabel]]:
    """The suspicion of each image's most suspicious label, (m,), -inf for one that is not judged; unshared labels."""
    judgeable = {name: shared(labelled.values[name], labelled.patients) for name in FIELDS}

    def judge(some: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[UnsharedLabel]]:
        near = list(_neighbours(labelled, some).values())
        votes = {name: vote(labelled.values[name], some, near).suspicion for name in FIELDS}
        alone = [
            UnsharedLabel(int(labelled.image_ids[place]), name, labelled.terms[name][labelled.values[name][place]])
            for row, place in enumerate(some.tolist())
            for name in FIELDS
            if np.isfinite(votes[name][row]) and not judgeable[name][place]
        ]
        judged = [np.where(judgeable[name][some], votes[name], -np.inf) for name in FIELDS]
        worst: NDArray[np.float64] = np.max(judged, axis=0)
        return worst, alone

    batches = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
    found, unshared = [np.empty(0)], list[UnsharedLabel]()
    # numpy compares codes without the interpreter's lock
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        for worst, alone in threads.map(judge, batches):
            found.append(worst)
            unshared += alone
            if advance is not None:
                advance(len(worst), len(places))
    return np.concatenate(found), unshared


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
        for by, place, distance in zip(one.by, one.voters, one.distances, strict=True):
            other_id, other_file, others = described(place)
            near.append(Neighbour(other_id, by, distance, other_file, others))
        suspects.append(Suspect(image_id, file, one.findings[0].suspicion, labels, one.findings, near))
    return suspects, files


def _neighbours(labelled: LabelledCodes, places: NDArray[np.int64]) -> dict[str, Neighbours]:
    """The neighbours of some images by code and by barcode."""
    coded = np.ones(len(labelled.image_ids), bool)
    return {
        "code": neighbours(labelled.cnnc, labelled.patients, places, coded),
        "barcode": neighbours(labelled.rbc, labelled.patients, places, labelled.barcoded),
    }


@dataclass(frozen=True)
class _Found:
    """A suspect by places: it, its findings, the voters on the first of them, in which vote, and their distances."""

    place: int
    findings: list[Finding]
    by: list[str]
    voters: list[int]
    distances: list[int]


def _found(labelled: LabelledCodes, places: NDArray[np.int64]) -> Iterator[_Found]:
    near = _neighbours(labelled, places)
    votes = {name: vote(labelled.values[name], places, list(near.values())) for name in FIELDS}
    judgeable = {name: shared(labelled.values[name], labelled.patients)[places] for name in FIELDS}
    for row, place in enumerate(places.tolist()):
        findings = []
        for name, on in votes.items():
            if judgeable[name][row] and on.suspicion[row] > LISTED_FROM:  # then some voter has another value
                own, proposed = int(labelled.values[name][place]), int(on.proposed[row])
                voters = [one.places[row][chosen[row]] for one, chosen in zip(near.values(), on.voters, strict=True)]
                said = labelled.values[name][np.concatenate(voters)]
                counts = len(said), int((said == own).sum()), int((said == proposed).sum())
                terms = labelled.terms[name]
                findings.append(Finding(name, terms[own], terms[proposed], *counts, float(on.suspicion[row])))
        findings.sort(key=lambda finding: -finding.suspicion)
        on = votes[findings[0].field]
        voted = [
            (by, one.places[row][column], one.distances[row][column])
            for (by, one), chosen in zip(near.items(), on.voters, strict=True)
            for column in np.flatnonzero(chosen[row])
        ]
        by, others, distances = (list(column) for column in zip(*voted, strict=True))
        yield _Found(place, findings, by, [int(one) for one in others], [int(one) for one in distances])


def _notes(
    labelled: LabelledCodes, places: NDArray[np.int64], worst: NDArray[np.float64], unshared: list[UnsharedLabel]
) -> Iterator[str]:
    if not len(places):
        yield "no image with a code passes the filter"
    elif not any((labelled.values[name][places] >= 0).any() for name in FIELDS):
        yield (
            "none of these images has an IRMA code, body part, view or laterality; labels come with: radretrieval "
            "ingest FOLDER --labels labels.csv"
        )
    elif not np.isfinite(worst).any() and not unshared:
        yield "no image has a neighbour of another patient with the same kind of label, and nothing can be compared"
    if unshared:
        fields = Counter(one.field for one in unshared)
        counted = ", ".join(f"{name} {fields[name]}" for name in FIELDS if fields[name])
        yield (
            f"{len(unshared)} labels are not judged, as no image of another patient has them ({counted}); --json lists "
            "them (unshared)"
        )

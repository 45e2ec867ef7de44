"""The encoders of an evaluation, and for each the queries and the images that are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radretrieval.archive import codes, encoders, images
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.connections import Connection
from radretrieval.archive.encoders import Encoder
from radretrieval.errors import UsageError


@dataclass(frozen=True)
class EvaluationOptions:
    """Which queries, images and rankings are evaluated.

    Attributes
    ----------
    split : the queries. against : the splits that are searched; `all` is the whole archive.
    encoder_ids : whose rankings; empty for the active encoder and, of each other profile, the newest that has codes of
        the same images.
    rule : `imageclef`, or `paper` for the literal Eq. 1.
    withdrawn : count images whose label was withdrawn, too.
    network : also the rankings that need the network, which reads and encodes every file again.
    compare : two rankings, each `ENCODER`, `KIND` or `ENCODER:KIND` with a kind of `rankings.KINDS`.
    device : where the network runs: `auto`, `cpu`, `cuda`, …
    """

    split: str = "test"
    against: tuple[str, ...] = ("train",)
    encoder_ids: tuple[int, ...] = ()
    rule: str = "imageclef"
    withdrawn: bool = False
    network: bool = True
    compare: tuple[str, str] | None = None
    device: str = "auto"

    @property
    def searched_splits(self) -> list[str] | None:
        """The splits that are searched; None for the whole archive."""
        return None if "all" in self.against else list(self.against)


@dataclass(frozen=True)
class EncoderRun:
    """An encoder with its queries and searched images, all of which have a label and codes; both by id."""

    encoder: Encoder
    queries: CodeSet
    searched: CodeSet


def select_encoders(
    connection: Connection, options: EvaluationOptions, compared: Sequence[int]
) -> tuple[list[EncoderRun], list[str]]:
    """The encoders of the options, and those that are compared; all with the same searched images.

    Parameters
    ----------
    compared : encoders that must be among them.

    Returns
    -------
    The runs, the first of which is scored in detail; and which encoders were left out, with the reason.

    Raises
    ------
    NoEncoder : the archive has none. UsageError : an unknown encoder; a query without a code (a score needs an answer
        to every query); nothing to search; or a named encoder that has codes of other images than the first.
    """
    first = _encoder_run(connection, encoders.get(connection, next(iter(options.encoder_ids), None)), options)
    runs, notes = [first], []
    for encoder_id in dict.fromkeys([*options.encoder_ids, *compared]):
        if encoder_id != first.encoder.id:
            run = _encoder_run(connection, encoders.get(connection, encoder_id), options)
            _require_same_images(first, run)
            runs.append(run)
    if not options.encoder_ids:
        named = {run.encoder.id for run in runs}
        for candidates in _other_profiles(connection, first.encoder):
            newest, why = _first_comparable(connection, candidates, options, first)
            if newest is None:
                notes.append(f"encoder {candidates[0].id} ({candidates[0].profile.name}) is left out: {why}")
            elif newest.encoder.id not in named:
                runs.append(newest)
    return runs, notes


def _other_profiles(connection: Connection, first: Encoder) -> list[list[Encoder]]:
    """The encoders of each profile that is not the first encoder's, the newest first."""
    found: dict[str, list[Encoder]] = {}
    for row in encoders.listed(connection):
        encoder = encoders.get(connection, row["encoder_id"])
        if encoder.profile != first.profile:
            found.setdefault(encoder.profile.hash, []).insert(0, encoder)
    return list(found.values())


def _first_comparable(
    connection: Connection, candidates: Sequence[Encoder], options: EvaluationOptions, first: EncoderRun
) -> tuple[EncoderRun | None, str]:
    """The first candidate that has codes of the same images, or the reason why the newest one has not."""
    reasons = []
    for encoder in candidates:
        try:
            run = _encoder_run(connection, encoder, options)
            _require_same_images(first, run)
            return run, ""
        except UsageError as error:
            reasons.append(str(error))
    return None, reasons[0]


def _require_same_images(first: EncoderRun, other: EncoderRun) -> None:
    for one, another in ((other, first), (first, other)):
        lacking = np.setdiff1d(another.searched.image_ids, one.searched.image_ids)
        if len(lacking):
            raise UsageError(
                f"encoder {one.encoder.id} has no code of {len(lacking)} images that encoder {another.encoder.id} "
                f"searches, and scores over other images are not compared; run: {one.encoder.work_command}"
            )


def _encoder_run(connection: Connection, encoder: Encoder, options: EvaluationOptions) -> EncoderRun:
    from radretrieval.coding.radon import geometry

    # without a barcode of this geometry there is no id; 0 matches none
    geometry_id = codes.known_geometry(connection, *geometry(encoder.profile.barcode)) or 0

    def scored(splits: Sequence[str] | None) -> CodeSet:
        return codes.of_splits(
            connection, encoder.id, geometry_id, splits, labelled_only=True, withdrawn_too=options.withdrawn
        )

    labelled = _labelled(connection, options)
    queries, searched = scored([options.split]), scored(options.searched_splits)
    if missing := labelled - len(queries.image_ids):
        raise UsageError(
            f"{missing} of the {labelled} labelled images of {options.split} have no code of encoder {encoder.id}, and "
            f"a score over the others is none; run: {encoder.work_command} (what cannot be encoded is named there, "
            "and in the table coding_failure)"
        )
    if not len(searched.image_ids):
        raise UsageError(
            f"no labelled image that is to be searched has a code of encoder {encoder.id}; run: {encoder.work_command}"
        )
    return EncoderRun(encoder, queries, searched)


def _labelled(connection: Connection, options: EvaluationOptions) -> int:
    """How many queries the split has; raises UsageError for a named split without labelled images."""
    splits = dict.fromkeys([options.split, *(options.searched_splits or [])])
    numbers = {split: images.left_out(connection, [split], options.withdrawn)["labelled"] for split in splits}
    for split, number in numbers.items():
        if not number:
            raise UsageError(
                f"the split {split!r} has no image with an IRMA code; {images.splits_phrase(connection)}. "
                "Labels come with: radretrieval ingest FOLDER --labels labels.csv"
            )
    return numbers[options.split]

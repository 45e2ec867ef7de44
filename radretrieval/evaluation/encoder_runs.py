"""Who takes part in an evaluation: encoders, and for each the queries and the images that are searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from radretrieval.archive import codes, encoders, images
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.encoders import Encoder
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What is evaluated.

    Attributes
    ----------
    split : the queries. against : the splits that are searched; `all` is the whole archive.
    encoder_ids : whose rankings; empty for the active encoder and, of each other profile, the newest that has codes of
        the same images.
    rule : `imageclef`, or `paper` for the literal Eq. 1.
    withdrawn : count images whose label was withdrawn, too.
    network : also the rankings that need the network, which reads and encodes every file again.
    compare : two rankings, each `ENCODER`, `KIND` or `ENCODER:KIND` with a kind of `rankings.KINDS`.
    """

    split: str = "test"
    against: tuple[str, ...] = ("train",)
    encoder_ids: tuple[int, ...] = ()
    rule: str = "imageclef"
    withdrawn: bool = False
    network: bool = True
    compare: tuple[str, str] | None = None

    @property
    def searched_splits(self) -> list[str] | None:
        """The splits that are searched; None for the whole archive."""
        return None if "all" in self.against else list(self.against)


@dataclass(frozen=True)
class Party:
    """An encoder with the queries and the searched images: labelled, coded, by id."""

    encoder: Encoder
    queries: CodeSet
    searched: CodeSet


def gather(connection: Connection, wanted: Wanted, compared: Sequence[int]) -> tuple[list[Party], list[str]]:
    """The encoders that are named, the active one and those that can stand beside it; all over the same images.

    Parameters
    ----------
    compared : encoders that must be among them.

    Returns
    -------
    The first is the one whose search is scored. And in words who was left out, and why.

    Raises
    ------
    NoEncoder : the archive has none. UsageError : an unknown encoder; a query without a code (an incomplete submission
        is none); nothing to search; or a named encoder that has codes of other images than the first.
    """
    first = encoders.get(connection, next(iter(wanted.encoder_ids), None))
    parties, notes = [_party(connection, first, wanted)], []
    for encoder_id in dict.fromkeys([*wanted.encoder_ids, *compared]):
        if encoder_id != first.id:
            parties.append(_beside(parties[0], _party(connection, encoders.get(connection, encoder_id), wanted)))
    if not wanted.encoder_ids:
        named = {party.encoder.id for party in parties}
        for found in _newest(connection, first):
            party, why = _first_able(connection, found, wanted, parties[0])
            if party is None:
                notes.append(f"encoder {found[0].id} ({found[0].profile.name}) is left out: {why}")
            elif party.encoder.id not in named:
                parties.append(party)
    return parties, notes


def _newest(connection: Connection, first: Encoder) -> list[list[Encoder]]:
    """The encoders of each profile that is not the first encoder's, the newest first."""
    found: dict[str, list[Encoder]] = {}
    for row in encoders.listed(connection):
        encoder = encoders.get(connection, row["encoder_id"])
        if encoder.profile != first.profile:
            found.setdefault(encoder.profile.hash, []).insert(0, encoder)
    return list(found.values())


def _first_able(
    connection: Connection, candidates: Sequence[Encoder], wanted: Wanted, first: Party
) -> tuple[Party | None, str]:
    """The first that can stand beside another, or why the very first cannot."""
    reasons = []
    for encoder in candidates:
        try:
            return _beside(first, _party(connection, encoder, wanted)), ""
        except UsageError as error:
            reasons.append(str(error))
    return None, reasons[0]


def _beside(first: Party, other: Party) -> Party:
    """The other one, if it searches the same images: scores over others are not compared."""
    for one, another in ((other, first), (first, other)):
        lacking = np.setdiff1d(another.searched.image_ids, one.searched.image_ids)
        if len(lacking):
            raise UsageError(
                f"encoder {one.encoder.id} has no code of {len(lacking)} images that encoder {another.encoder.id} "
                f"searches, and scores over other images are not compared; run: {work(one.encoder)}"
            )
    return other


def _party(connection: Connection, encoder: Encoder, wanted: Wanted) -> Party:
    from radretrieval.coding.radon import bins

    shape = encoder.profile.barcode
    # one that nobody has written yet is that of no barcode
    geometry = codes.known_geometry(connection, shape.size, shape.angles, bins(shape.size), shape.rule) or 0

    def scored(splits: Sequence[str] | None) -> CodeSet:
        return codes.of_splits(
            connection, encoder.id, geometry, splits, labelled_only=True, withdrawn_too=wanted.withdrawn
        )

    labelled = _labelled(connection, wanted)
    queries, searched = scored([wanted.split]), scored(wanted.searched_splits)
    if missing := labelled - len(queries.image_ids):
        raise UsageError(
            f"{missing} of the {labelled} labelled images of {wanted.split} have no code of encoder {encoder.id}, and "
            f"a score over the others is none; run: {work(encoder)} (what cannot be encoded is named there, and in "
            "the table coding_failure)"
        )
    if not len(searched.image_ids):
        raise UsageError(
            f"no labelled image that is to be searched has a code of encoder {encoder.id}; run: {work(encoder)}"
        )
    return Party(encoder, queries, searched)


def _labelled(connection: Connection, wanted: Wanted) -> int:
    """How many queries there must be; every split that is named has images that count."""
    splits = dict.fromkeys([wanted.split, *(wanted.searched_splits or [])])
    numbers = {split: images.left_out(connection, [split], wanted.withdrawn)["labelled"] for split in splits}
    for split, number in numbers.items():
        if not number:
            raise UsageError(
                f"the split {split!r} has no image with an IRMA code; {images.splits_phrase(connection)}. "
                "Labels come with: radretrieval ingest FOLDER --labels labels.csv"
            )
    return numbers[wanted.split]


def work(encoder: Encoder) -> str:
    """The command that fills what an encoder lacks."""
    return "radretrieval work --once" + ("" if encoder.active else f" --encoder {encoder.id}")

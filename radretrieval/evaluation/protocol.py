"""From an archive to the table: which images, which encoders, which rankings, and their figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from radretrieval.archive import connections, images
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.connections import Database
from radretrieval.config import Settings
from radretrieval.errors import UsageError
from radretrieval.evaluation import rankings, scores
from radretrieval.evaluation.encoder_runs import Party, Wanted, gather, work
from radretrieval.evaluation.network_outputs import look
from radretrieval.evaluation.published import PUBLISHED, Published, why_not
from radretrieval.evaluation.rankings import Ranking
from radretrieval.evaluation.scores import Baseline, Comparison, Score, SizeScore

Advance = Callable[[int, str], None]


@dataclass(frozen=True)
class Scored:
    """A ranking with its figures."""

    ranking: Ranking
    score: Score


@dataclass(frozen=True)
class Evaluation:
    """Everything that the protocol tells.

    Attributes
    ----------
    wanted : what was asked. parties : the encoders with their images, which are the same of all.
    rows : the rankings; the first is that of `search` with the first encoder.
    sizes, baselines : see `scores`; class sizes are those of the first row.
    published : what others reached, where queries and searched images are in number those of 2009; else empty.
    caveat : what is to be said of them, or why there are none.
    comparison : None if none was asked for, or if it could not be made (`notes`).
    unlabelled, withdrawn : images of the query split that are not scored, and why.
    uncoded : labelled images of the searched splits that have no code yet and cannot be hits.
    failures : files that could not be read again, so that rows of the network are missing: path, error, message.
    notes : what a reader of the figures must know besides, in words.
    """

    wanted: Wanted
    parties: list[Party]
    rows: list[Scored]
    sizes: list[SizeScore]
    baselines: list[Baseline]
    published: tuple[Published, ...]
    caveat: str
    comparison: Comparison | None
    unlabelled: int
    withdrawn: int
    uncoded: int
    failures: list[dict[str, str]]
    notes: list[str]

    @property
    def queries(self) -> CodeSet:
        """The images that are scored."""
        return self.parties[0].queries

    @property
    def searched(self) -> CodeSet:
        """The images that are searched."""
        return self.parties[0].searched

    def document(self) -> dict[str, Any]:
        """The figures as one JSON document; the first row's stand at the top, the others under `ablations`."""
        first, *others = self.rows
        return {
            "encoder_id": first.ranking.encoder_id,
            "ranking": first.ranking.name,
            "split": self.wanted.split,
            "searched_splits": list(self.wanted.against),
            "rule": self.wanted.rule,
            "queries": len(self.queries.image_ids),
            "against": len(self.searched.image_ids),
            **asdict(first.score),
            "ablations": [
                {
                    "name": row.ranking.name,
                    "kind": row.ranking.kind,
                    "encoder_id": row.ranking.encoder_id,
                    **asdict(row.score),
                }
                for row in others
            ],
            "by_class_size": [asdict(size) for size in self.sizes],
            "baselines": [asdict(baseline) for baseline in self.baselines],
            "published": [row._asdict() for row in self.published],
            "comparison": asdict(self.comparison) if self.comparison else None,
            "unlabelled": self.unlabelled,
            "withdrawn": self.withdrawn,
            "uncoded": self.uncoded,
            "failures": self.failures,
            "notes": [*self.notes, self.caveat],
        }


def evaluate(
    database: Database, settings: Settings, wanted: Wanted, *, device: str = "auto", advance: Advance | None = None
) -> Evaluation:
    """Score the first hit of every labelled image of a split, by every way of ranking.

    Parameters
    ----------
    device : where the network runs. advance : called with images that are done, and what is being done.

    Raises
    ------
    UsageError, NoEncoder : see `parties.gather`; or a ranking that is to be compared does not exist.
    EnvironmentUnusable : the device or the database is not there.
    """
    say = advance or (lambda count, what: None)
    scores.errors([], [], wanted.rule)  # an unknown rule is told before minutes of work
    pair = _pair(wanted)
    found: list[Ranking] = []
    with database.connection() as connection, connections.translated(database.url):
        connections.one_moment(connection)
        parties, notes = gather(connection, wanted, [encoder_id for encoder_id, _ in pair if encoder_id is not None])
        for party in parties:
            found += rankings.by_codes(connection, party, lambda n: say(n, "rank codes"))
            found.append(rankings.by_barcodes(party, lambda n: say(n, "rank barcodes")))
        left = images.left_out(connection, [wanted.split], wanted.withdrawn)
        against = images.left_out(connection, wanted.searched_splits, wanted.withdrawn)
    failures: dict[str, dict[str, str]] = {}
    for party in parties if wanted.network else ():
        seen = look(database, settings, party, device, lambda n: say(n, "encode"))
        found += rankings.by_network(party, *seen)
        failures |= {failure["path"]: failure for one in seen for failure in one.failures}
    rows = _scored(found, parties, wanted.rule)
    uncoded = against["labelled"] - len(parties[0].searched.image_ids)
    published, caveat = _published(parties[0], wanted.rule)
    comparison, missing = _compared(pair, found, parties[0], wanted.rule)
    return Evaluation(
        wanted=wanted,
        parties=parties,
        rows=rows,
        sizes=_sizes(rows[0].ranking, parties[0], wanted.rule),
        baselines=scores.baselines(parties[0].queries.labels, parties[0].searched.labels, wanted.rule),
        published=published,
        caveat=caveat,
        comparison=comparison,
        unlabelled=left["unlabelled"],
        withdrawn=left["withdrawn"],
        uncoded=uncoded,
        failures=list(failures.values()),
        notes=[*notes, *_notes(left, uncoded, len(failures), parties, rows, wanted), *missing],
    )


def _scored(found: Sequence[Ranking], parties: Sequence[Party], rule: str) -> list[Scored]:
    """Encoder by encoder, in the order of `KINDS`; barcodes of one geometry know no encoder and are told once."""
    order = {party.encoder.id: place for place, party in enumerate(parties)}
    kept, geometries = [], set()
    for ranking in sorted(found, key=lambda one: (order[one.encoder_id], rankings.KINDS.index(one.kind))):
        party = parties[order[ranking.encoder_id]]
        shape = party.encoder.profile.barcode
        if ranking.kind != "rbc" or shape not in geometries:
            kept.append(Scored(ranking, scores.score(party.queries.labels, ranking.predicted, rule)))
        if ranking.kind == "rbc":
            geometries.add(shape)
    return kept


def _sizes(ranking: Ranking, party: Party, rule: str) -> list[SizeScore]:
    queries, searched = party.queries, party.searched
    number = Counter(searched.labels)
    own = np.isin(queries.image_ids, searched.image_ids)  # a query is never its own hit
    sizes = np.array([number[code] for code in queries.labels]) - own
    return scores.by_size(queries.labels, ranking.predicted, sizes, rule)


def _published(party: Party, rule: str) -> tuple[tuple[Published, ...], str]:
    """Published errors, where they may stand beside ours, and what is to be said of them."""
    if rule != "imageclef":
        return (), "published errors are left out: they are by ImageCLEF's rule"
    if why := why_not(party.queries.labels, party.searched.labels):
        return (), f"published errors are left out: {why}"
    return PUBLISHED, (
        "published errors are of RWTH's images of 2009, 1733 queries; the images here have the same codes in the same "
        "numbers, but whether they are the same images no list of codes can tell"
    )


def _notes(
    left: dict[str, int],
    uncoded: int,
    unreadable: int,
    parties: Sequence[Party],
    rows: Sequence[Scored],
    wanted: Wanted,
) -> Iterator[str]:
    if left["unlabelled"] or left["withdrawn"]:
        yield (
            f"not scored: {left['unlabelled']} images of {wanted.split} without an IRMA code, {left['withdrawn']} with "
            "a withdrawn one"
        )
    for party in parties:
        if party.encoder.trained_on == wanted.split:
            yield f"encoder {party.encoder.id} has learnt the very queries: its errors are too small"
    if uncoded:
        yield f"not searched: {uncoded} labelled images without a code; run: {work(parties[0].encoder)}"
    there = {(row.ranking.encoder_id, row.ranking.kind) for row in rows}
    gone = [
        rankings.name_of(kind, party.encoder)
        for party in parties
        for kind in rankings.NETWORK
        if wanted.network and (party.encoder.id, kind) not in there
    ]
    if gone:
        yield (
            f"left out: {', '.join(gone)}; {unreadable} files cannot be read any more, and answers to fewer queries or "
            "from fewer images are another score. Put the files back, or evaluate with --no-network"
        )


def _pair(wanted: Wanted) -> list[tuple[int | None, str]]:
    """Encoder (None: the first) and kind of the two rankings that are compared; empty if none are."""
    found: list[tuple[int | None, str]] = []
    for text in wanted.compare or ():
        first, colon, kind = text.partition(":")
        number = int(first) if first.isascii() and first.isdecimal() and len(first) < 10 else None
        if number is None and not colon:
            first, kind = "", first
        if number is not None and not colon:
            kind = "cnnc+rbc"
        if kind not in rankings.KINDS or (number is None and first):
            raise UsageError(
                f"--compare {text!r} is not a ranking; give an encoder (2), a way of ranking (cnnc) or both (2:cnnc); "
                f"the ways are: {', '.join(rankings.KINDS)}"
            )
        if kind in rankings.NETWORK and not wanted.network:
            raise UsageError(f"--compare {text!r} needs the network: leave --no-network out")
        found.append((number, kind))
    return found


def _compared(
    pair: list[tuple[int | None, str]], found: list[Ranking], first: Party, rule: str
) -> tuple[Comparison | None, list[str]]:
    """The comparison that was asked for, or why there is none."""
    sides = []
    for encoder_id, kind in pair:
        wished = first.encoder.id if encoder_id is None else encoder_id
        able = [one for one in found if (one.encoder_id, one.kind) == (wished, kind)]
        if not able:
            return None, [f"the comparison is left out: there is no ranking {kind} of encoder {wished}"]
        sides.append(able[0])
    if not sides:
        return None, []
    a, b = sides
    names = f"{a.name} of encoder {a.encoder_id}", f"{b.name} of encoder {b.encoder_id}"
    return scores.compare(names, first.queries.labels, a.predicted, b.predicted, rule), []

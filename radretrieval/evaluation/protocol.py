"""The evaluation of encoders: their rankings of the queries, the rankings' scores, and what they are compared with."""

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
from radretrieval.evaluation.encoder_runs import EncoderRun, EvaluationOptions, select_encoders
from radretrieval.evaluation.network_outputs import run_network
from radretrieval.evaluation.published import PUBLISHED, Published, why_not
from radretrieval.evaluation.rankings import Ranking
from radretrieval.evaluation.reliability import Reliability, reliability
from radretrieval.evaluation.scores import Baseline, Comparison, Score, SizeScore
from radretrieval.files.failures import FailureList

Advance = Callable[[int, str], None]


@dataclass(frozen=True)
class ScoredRanking:
    """A ranking with its scores."""

    ranking: Ranking
    score: Score


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes
    ----------
    options : what was evaluated. runs : the encoders with their images, which are the same for all.
    rows : the rankings; the first is that of `search` with the first encoder.
    sizes, baselines : see `scores`; class sizes are those of the first row.
    published : errors of others, where queries and searched images are in number those of 2009; else empty.
    caveat : what holds of the published errors, or why there are none.
    reliability : of the probabilities of the first encoder; None for one that states none.
    comparison : None if none was asked for, or if a ranking is missing (`notes`).
    unlabelled, withdrawn : images of the query split that are not scored.
    uncoded : labelled images of the searched splits that have no code yet and cannot be hits.
    failures : files that could not be read again, so that rankings of the network are missing.
    notes : what else is needed to read the figures.
    """

    options: EvaluationOptions
    runs: list[EncoderRun]
    rows: list[ScoredRanking]
    sizes: list[SizeScore]
    baselines: list[Baseline]
    published: tuple[Published, ...]
    caveat: str
    reliability: Reliability | None
    comparison: Comparison | None
    unlabelled: int
    withdrawn: int
    uncoded: int
    failures: FailureList
    notes: list[str]

    @property
    def queries(self) -> CodeSet:
        """The images that are scored."""
        return self.runs[0].queries

    @property
    def searched(self) -> CodeSet:
        """The images that are searched."""
        return self.runs[0].searched

    def document(self) -> dict[str, Any]:
        """The figures as one JSON document; the first row's stand at the top, the others under `ablations`."""
        first, *others = self.rows
        return {
            "encoder_id": first.ranking.encoder_id,
            "ranking": first.ranking.name,
            "split": self.options.split,
            "searched_splits": list(self.options.against),
            "rule": self.options.rule,
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
            "reliability": self.reliability and self.reliability.document(),
            "comparison": asdict(self.comparison) if self.comparison else None,
            "unlabelled": self.unlabelled,
            "withdrawn": self.withdrawn,
            "uncoded": self.uncoded,
            "failures": self.failures,
            "notes": [*self.notes, self.caveat],
        }


def evaluate(
    database: Database,
    settings: Settings,
    options: EvaluationOptions = EvaluationOptions(),
    *,
    advance: Advance | None = None,
) -> Evaluation:
    """Score the first hit of every labelled image of a split, by every ranking.

    Parameters
    ----------
    advance : called with the number of images that were finished, and the current step.

    Raises
    ------
    UsageError, NoEncoder : see `encoder_runs.select_encoders`; or a ranking that is to be compared does not exist.
    EnvironmentUnusable : the device or the database is not there.
    """
    progress = advance or (lambda count, step: None)
    scores.errors([], [], options.rule)  # raises for an unknown rule before minutes of work
    pair = _compared_pair(options)
    found: list[Ranking] = []
    with database.connection() as connection, connections.database_errors(database.url):
        connections.snapshot(connection)
        compared = [encoder_id for encoder_id, _ in pair if encoder_id is not None]
        runs, notes = select_encoders(connection, options, compared)
        for run in runs:
            found += rankings.by_codes(connection, run, lambda n: progress(n, "rank codes"))
            found.append(rankings.by_barcodes(run, lambda n: progress(n, "rank barcodes")))
        left = images.left_out(connection, [options.split], options.withdrawn)
        against = images.left_out(connection, options.searched_splits, options.withdrawn)
    failures: dict[str, dict[str, str]] = {}  # by path: runs read the same files
    for run in runs if options.network else ():
        outputs = run_network(database, settings, run, options.device, lambda n: progress(n, "encode"))
        found += rankings.by_network(run, *outputs)
        failures |= {failure["path"]: failure for one in outputs for failure in one.failures}
    rows = _scored(found, runs, options.rule)
    uncoded = against["labelled"] - len(runs[0].searched.image_ids)
    published, caveat = _published(runs[0], options.rule)
    comparison, missing = _comparison(pair, found, runs[0], options.rule)
    return Evaluation(
        options=options,
        runs=runs,
        rows=rows,
        sizes=_sizes(rows[0].ranking, runs[0], options.rule),
        baselines=scores.baselines(runs[0].queries.labels, runs[0].searched.labels, options.rule),
        published=published,
        caveat=caveat,
        reliability=reliability(runs[0], *_of_codes(found, runs[0].encoder.id)),
        comparison=comparison,
        unlabelled=left["unlabelled"],
        withdrawn=left["withdrawn"],
        uncoded=uncoded,
        failures=FailureList(failures.values()),
        notes=[*notes, *_notes(left, uncoded, len(failures), runs, rows, options), *missing],
    )


def _of_codes(found: Sequence[Ranking], encoder_id: int) -> tuple[Ranking, Ranking]:
    """The rankings `cnnc+rbc` and `cnnc` of an encoder."""
    by_kind = {one.kind: one for one in found if one.encoder_id == encoder_id}
    return by_kind["cnnc+rbc"], by_kind["cnnc"]


def _scored(found: Sequence[Ranking], runs: Sequence[EncoderRun], rule: str) -> list[ScoredRanking]:
    """The rankings encoder by encoder, in the order of `KINDS`; of one barcode geometry the ranking is kept once."""
    order = {run.encoder.id: place for place, run in enumerate(runs)}
    kept, geometries = [], set()
    for ranking in sorted(found, key=lambda one: (order[one.encoder_id], rankings.KINDS.index(one.kind))):
        run = runs[order[ranking.encoder_id]]
        shape = run.encoder.profile.barcode
        if ranking.kind != "rbc" or shape not in geometries:
            kept.append(ScoredRanking(ranking, scores.score(run.queries.labels, ranking.predicted, rule)))
        if ranking.kind == "rbc":
            geometries.add(shape)
    return kept


def _sizes(ranking: Ranking, run: EncoderRun, rule: str) -> list[SizeScore]:
    queries, searched = run.queries, run.searched
    number = Counter(searched.labels)
    own = np.isin(queries.image_ids, searched.image_ids)  # a query is never its own hit
    sizes = np.array([number[code] for code in queries.labels]) - own
    return scores.by_size(queries.labels, ranking.predicted, sizes, rule)


def _published(run: EncoderRun, rule: str) -> tuple[tuple[Published, ...], str]:
    """Published errors, where they are of as many images of each class, and the caveat."""
    if rule != "imageclef":
        return (), "published errors are left out: they are by ImageCLEF's rule"
    if why := why_not(run.queries.labels, run.searched.labels):
        return (), f"published errors are left out: {why}"
    return PUBLISHED, (
        "published errors are of RWTH's images of 2009, 1733 queries; the images here have the same codes in the same "
        "numbers, but whether they are the same images no list of codes can tell"
    )


def _notes(
    left: dict[str, int],
    uncoded: int,
    unreadable: int,
    runs: Sequence[EncoderRun],
    rows: Sequence[ScoredRanking],
    options: EvaluationOptions,
) -> Iterator[str]:
    if left["unlabelled"] or left["withdrawn"]:
        yield (
            f"not scored: {left['unlabelled']} images of {options.split} without an IRMA code, "
            f"{left['withdrawn']} with a withdrawn one"
        )
    for run in runs:
        if run.encoder.trained_on == options.split:
            yield f"encoder {run.encoder.id} has learnt the very queries: its errors are too small"
    if uncoded:
        yield f"not searched: {uncoded} labelled images without a code; run: {runs[0].encoder.work_command}"
    there = {(row.ranking.encoder_id, row.ranking.kind) for row in rows}
    gone = [
        rankings.name_of(kind, run.encoder)
        for run in runs
        for kind in rankings.NETWORK
        if options.network and (run.encoder.id, kind) not in there
    ]
    if gone:
        yield (
            f"left out: {', '.join(gone)}; {unreadable} files cannot be read any more, and answers to fewer queries or "
            "from fewer images are another score. Put the files back, or evaluate with --no-network"
        )


def _compared_pair(options: EvaluationOptions) -> list[tuple[int | None, str]]:
    """Encoder (None: the first) and kind of the two rankings to compare; empty without `compare`."""
    found: list[tuple[int | None, str]] = []
    for text in options.compare or ():
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
        if kind in rankings.NETWORK and not options.network:
            raise UsageError(f"--compare {text!r} needs the network: leave --no-network out")
        found.append((number, kind))
    return found


def _comparison(
    pair: list[tuple[int | None, str]], found: list[Ranking], first: EncoderRun, rule: str
) -> tuple[Comparison | None, list[str]]:
    """The comparison of the pair, or a note on the ranking that is missing."""
    sides = []
    for encoder_id, kind in pair:
        wanted = first.encoder.id if encoder_id is None else encoder_id
        able = [one for one in found if (one.encoder_id, one.kind) == (wanted, kind)]
        if not able:
            return None, [f"the comparison is left out: there is no ranking {kind} of encoder {wanted}"]
        sides.append(able[0])
    if not sides:
        return None, []
    a, b = sides
    names = f"{a.name} of encoder {a.encoder_id}", f"{b.name} of encoder {b.encoder_id}"
    return scores.compare(names, first.queries.labels, a.predicted, b.predicted, rule), []

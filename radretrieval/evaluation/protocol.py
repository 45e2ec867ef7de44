"""From an archive to the table: which images, which encoders, which rankings, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from radretrieval.archive import codes, encoders, engine, images
from radretrieval.archive.codes import CodeSet
from radretrieval.archive.encoders import Encoder
from radretrieval.archive.engine import Archive
from radretrieval.config import Settings
from radretrieval.errors import UsageError
from radretrieval.evaluation import rankings, scores
from radretrieval.evaluation.network import look
from radretrieval.evaluation.published import PUBLISHED, Published, are_of_2009
from radretrieval.evaluation.rankings import Ranking
from radretrieval.evaluation.scores import Baseline, Comparison, Score, SizeScore

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

Advance = Callable[[int, str], None]


@dataclass(frozen=True)
class Wanted:
    """What is evaluated.

    Attributes
    ----------
    split : the queries. against : the splits that are searched; `all` is the whole archive.
    encoder_ids : whose rankings; empty for the active encoder and, of each other profile, the newest that has a code
        of every image.
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


@dataclass(frozen=True)
class Scored:
    """A ranking with its figures."""

    ranking: Ranking
    score: Score


@dataclass
class Evaluation:
    """Everything that the protocol tells.

    Attributes
    ----------
    wanted : what was asked. queries, searched : the images; labelled, coded, by id.
    rows : the rankings; the first is that of `search` with the first encoder.
    sizes, baselines : see `scores`. published : what others reached, if the queries are those of 2009, else empty.
    unlabelled, withdrawn : images of the query split that are not scored, and why.
    uncoded : labelled images of the searched splits that have no code yet and cannot be hits.
    unreadable : files that could not be read again, so that rows of the network are missing.
    """

    wanted: Wanted
    queries: CodeSet
    searched: CodeSet
    rows: list[Scored]
    sizes: list[SizeScore]
    baselines: list[Baseline]
    published: tuple[Published, ...] = ()
    comparison: Comparison | None = None
    unlabelled: int = 0
    withdrawn: int = 0
    uncoded: int = 0
    unreadable: int = 0
    encoders: list[Encoder] = field(default_factory=list)

    @property
    def true(self) -> list[str]:
        """The code of each query."""
        return [code or "" for code in self.queries.irma_codes]

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
            "unreadable": self.unreadable,
        }


def evaluate(
    archive: Archive, settings: Settings, wanted: Wanted, *, device: str = "auto", advance: Advance | None = None
) -> Evaluation:
    """Score the first hit of every labelled image of a split, by every way of ranking.

    Parameters
    ----------
    device : where the network runs. advance : called with images that are done, and what is being done.

    Raises
    ------
    UsageError : a split has no labelled image, a query has no code (an incomplete submission is none), or a ranking
        that is to be compared does not exist. NoEncoder : there is nothing to evaluate.
    EnvironmentUnusable : the device or the database is not there.
    """
    say = advance or (lambda count, what: None)
    scores.errors([], [], wanted.rule)  # an unknown rule is told before minutes of work
    pair = _pair(wanted.compare)
    with archive.connection() as connection, engine.translated(archive.url):
        chosen = _encoders(connection, wanted, pair)
        first = _sets(connection, chosen[0], wanted)
        every = [first, *(_sets(connection, encoder, wanted) for encoder in chosen[1:])]
        found: list[Ranking] = []
        for encoder, (queries, searched) in zip(chosen, every, strict=True):
            found += rankings.by_codes(connection, encoder, queries, searched, lambda n: say(n, "rank codes"))
            found.append(rankings.by_barcodes(encoder, queries, searched, lambda n: say(n, "rank barcodes")))
        left = images.left_out(connection, [wanted.split], wanted.withdrawn)
        against = images.left_out(connection, _splits(wanted), wanted.withdrawn)
    unreadable = 0
    for encoder, (queries, searched) in zip(chosen, every, strict=True):
        if wanted.network:
            seen = look(archive, settings, encoder, [queries, searched], device, lambda n: say(n, "encode"))
            found += rankings.by_network(encoder, queries, searched, *seen)
            unreadable = max(unreadable, sum(one.unreadable for one in seen))
    queries, searched = first
    true = [code or "" for code in queries.irma_codes]
    rows = [Scored(one, scores.score(true, one.predicted, wanted.rule)) for one in _in_order(found, chosen)]
    return Evaluation(
        wanted=wanted,
        queries=queries,
        searched=searched,
        rows=rows,
        sizes=scores.by_size(true, rows[0].ranking.predicted, _codes(searched), wanted.rule),
        baselines=scores.baselines(true, _codes(searched), wanted.rule),
        published=PUBLISHED if wanted.rule == "imageclef" and are_of_2009(true) else (),
        comparison=_compared(pair, true, found, chosen, wanted) if pair else None,
        unlabelled=left["unlabelled"],
        withdrawn=left["withdrawn"],
        uncoded=against["labelled"] - len(searched.image_ids),
        unreadable=unreadable,
        encoders=chosen,
    )


def _in_order(found: Sequence[Ranking], chosen: Sequence[Encoder]) -> list[Ranking]:
    """Encoder by encoder, in the order of `KINDS`; barcodes of one geometry know no encoder and are told once."""
    ids = [encoder.id for encoder in chosen]
    kept, geometries = [], set()
    for ranking in sorted(found, key=lambda one: (ids.index(one.encoder_id), rankings.KINDS.index(one.kind))):
        shape = chosen[ids.index(ranking.encoder_id)].profile.barcode
        if ranking.kind != "rbc" or shape not in geometries:
            kept.append(ranking)
        if ranking.kind == "rbc":
            geometries.add(shape)
    return kept


def _codes(images_: CodeSet) -> list[str]:
    return [code or "" for code in images_.irma_codes]


def _splits(wanted: Wanted) -> list[str] | None:
    return None if "all" in wanted.against else list(wanted.against)


def _encoders(connection: Connection, wanted: Wanted, pair: list[tuple[int | None, str]]) -> list[Encoder]:
    """Those that were named, or the active one and those that can stand beside it; and those that are compared."""
    asked = [*wanted.encoder_ids, *(encoder_id for encoder_id, _ in pair if encoder_id is not None)]
    chosen = [encoders.get(connection, encoder_id) for encoder_id in dict.fromkeys(asked)]
    if wanted.encoder_ids:
        return chosen
    active = encoders.get(connection)
    others: dict[str, Encoder] = {}
    for row in encoders.listed(connection):
        encoder = encoders.get(connection, row["encoder_id"])
        if encoder.profile != active.profile and codes.pending_count(connection, encoder.id) == 0:
            others[encoder.profile.hash] = encoder  # the newest comes last
    known = {encoder.id: encoder for encoder in [active, *chosen, *others.values()]}
    return list(known.values())


def _sets(connection: Connection, encoder: Encoder, wanted: Wanted) -> tuple[CodeSet, CodeSet]:
    """Queries and searched images with their codes; a query without a code is an answer that is missing."""
    from radretrieval.coding.radon import bins

    shape = encoder.profile.barcode
    geometry = codes.geometry_id(connection, shape.size, shape.angles, bins(shape.size), shape.rule)
    queries = codes.of_splits(connection, encoder.id, geometry, [wanted.split]).scored(wanted.withdrawn)
    labelled = images.left_out(connection, [wanted.split], wanted.withdrawn)["labelled"]
    if not labelled:
        raise UsageError(
            f"the split {wanted.split!r} has no image with an IRMA code; {images.splits_phrase(connection)}. "
            "Labels come with: radretrieval ingest FOLDER --labels labels.csv"
        )
    if missing := labelled - len(queries.image_ids):
        option = "" if encoder.active else f" --encoder {encoder.id}"
        raise UsageError(
            f"{missing} of the {labelled} labelled images of {wanted.split} have no code of encoder {encoder.id}, and "
            f"a score over the others is none; run: radretrieval work --once{option} (what cannot be encoded is "
            "named there, and in the table coding_failure)"
        )
    searched = codes.of_splits(connection, encoder.id, geometry, _splits(wanted)).scored(wanted.withdrawn)
    if not len(searched.image_ids):
        named = "the archive" if _splits(wanted) is None else f"the split {', '.join(map(repr, wanted.against))}"
        raise UsageError(
            f"{named} has no image with both an IRMA code and a code of encoder {encoder.id} to be searched; "
            f"{images.splits_phrase(connection)}. Labels come with ingest --labels, codes with work --once"
        )
    return queries, searched


def _pair(compare: tuple[str, str] | None) -> list[tuple[int | None, str]]:
    """Encoder (None: the first) and kind of the two rankings that are compared."""
    found: list[tuple[int | None, str]] = []
    for text in compare or ():
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
        found.append((number, kind))
    return found


def _compared(
    pair: list[tuple[int | None, str]],
    true: list[str],
    found: list[Ranking],
    chosen: list[Encoder],
    wanted: Wanted,
) -> Comparison:
    sides = []
    for encoder_id, kind in pair:
        wished = chosen[0].id if encoder_id is None else encoder_id
        able = [one for one in found if (one.encoder_id, one.kind) == (wished, kind)]
        if not able:
            raise UsageError(
                f"--compare: encoder {wished} has no ranking {kind!r} here: it needs the network, which was left out, "
                "or files that cannot be read any more"
            )
        sides.append(able[0])
    names = [f"{side.name} of encoder {side.encoder_id}" for side in sides]
    return scores.compare((names[0], names[1]), true, sides[0].predicted, sides[1].predicted, wanted.rule)

"""A search of several archives at once: the nearest codes of their union, re-ranked as those of one archive are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from radretrieval.archive import federated
from radretrieval.archive.federated import Question
from radretrieval.archive.search.nearest import Candidate, FilterEffect
from radretrieval.archive.search.stored import HitFacts
from radretrieval.archive.sites import Reply, Site
from radretrieval.coding.radon import geometry
from radretrieval.errors import SitesMissing, UsageError
from radretrieval.search.query import SearchQuery
from radretrieval.search.recorded import parameters
from radretrieval.search.request import Answer, Hit, Request
from radretrieval.search.searcher import Searcher

MOST_TIES = 10_000  # as many as cnnc_nearest returns beyond those that are asked for
GROUPS = {"patient": "patient_key", "study": "study_instance_uid"}


@dataclass(frozen=True)
class SiteReport:
    """What one site had to do with an answer.

    Attributes
    ----------
    answered : whether its images were searched. problem : why not.
    milliseconds : from the question to its answer, connecting included.
    candidates : how many of its nearest codes it gave. path : how it found them; None where it gave none.
    same_patient_excluded : whether images of the query's patient were left out there, which takes the same key of the
        pseudonyms; None where that was not asked for.
    """

    site: str
    answered: bool
    problem: str | None
    milliseconds: float
    candidates: int
    path: str | None
    same_patient_excluded: bool | None


@dataclass(frozen=True, kw_only=True)
class SiteHit(Hit):
    """A hit with the name of its site: `image_id`, `uri` and `patient_key` are that site's."""

    site: str

    def to_record(self) -> dict[str, Any]:
        """The hit as JSON has it."""
        return {"rank": self.rank, "site": self.site} | super().to_record()


@dataclass
class FederatedAnswer(Answer):
    """The hits of several archives, best first; `encoder_id`, `query_image_id` are of the archive that asked.

    `matched` and `hidden` of its document are None: sites do not count what a filter keeps and hides.
    """

    hits: list[SiteHit]  # type: ignore[assignment]
    sites: list[SiteReport] = field(default_factory=list)

    @property
    def partial(self) -> bool:
        """Whether a site has not answered: what it has is missing."""
        return not all(site.answered for site in self.sites)

    def document(self) -> dict[str, Any]:
        """The answer as one JSON document."""
        return super().document() | {"partial": self.partial, "sites": [asdict(site) for site in self.sites]}


@dataclass(frozen=True)
class Asking:
    """How sites are asked.

    Attributes
    ----------
    sites : which. deadline : seconds that they have. require_all : whether all must answer.
    who : who asks, for the audit of each.
    """

    sites: tuple[Site, ...]
    deadline: float
    require_all: bool
    who: str


class FederatedSearcher(Searcher):
    """A searcher whose candidates come from sites; its own archive has the encoder, and images that are queries."""

    _asking: Asking
    _reports: list[SiteReport]
    _union: dict[int, dict[str, Any]]

    def search_sites(self, request: Request, asking: Asking) -> FederatedAnswer:
        """Answer one query from all sites.

        Raises
        ------
        SitesMissing : no site answered, or not every one with `require_all`. Else as `Searcher.search`.
        """
        _check(request)
        self._asking = asking
        answer = self.search(request)
        rows = [self._union[hit.image_id] for hit in answer.hits]
        hits = [
            SiteHit(**vars(hit) | {"site": row["site"], "image_id": row["image_id"]})
            for hit, row in zip(answer.hits, rows, strict=True)
        ]
        return FederatedAnswer(**vars(answer) | {"hits": hits}, sites=self._reports)

    def pending(self, found: Sequence[Candidate], request: Request) -> int:
        """None that are known of: sites are not asked how many images have no code."""
        return 0

    def raise_no_codes(self, pending: int) -> None:
        """An answer without hits is one: each site may have images that a filter, or the query itself, leaves out."""

    def _candidates(
        self, query: SearchQuery, request: Request, meanwhile: Callable[[], None]
    ) -> tuple[list[Candidate], str, FilterEffect | None]:
        """The candidates of the union, numbered by (site, image id) as the images of one archive would be."""
        meanwhile()
        if request.exclude_same_patient:
            query.know_patient(self.patient_key)
        question = self._question(query, request)
        replies = federated.nearest(self._asking.sites, question, self._asking.deadline)
        missing = [f"{reply.site} {reply.problem}" for reply in replies if reply.value is None]
        if missing and (self._asking.require_all or len(missing) == len(replies)):
            raise SitesMissing(
                f"{len(missing)} of {len(replies)} sites did not answer: {'; '.join(missing)} (radretrieval federation "
                "status tells how each is)"
            )
        self._reports = [_report(reply, question) for reply in replies]
        self._union = union(replies)
        nearest = cut(self._union, question.limit, request.one_per)
        return (
            [Candidate(n, row["distance"], row["barcode"], HitFacts.of(row)) for n, row in nearest],
            "federated",
            None,
        )

    def _question(self, query: SearchQuery, request: Request) -> Question:
        assert query.cnnc is not None
        if query.image_id is not None:
            film = federated.film(self.connection, query.image_id)
        else:
            read = query.found
            pixels = None if read is None or read.pixels_sha256 is None else read.pixels_sha256.hex()
            film = {"sha256": query.sha256.hex(), "frame": 1, "pixels_sha256": pixels}
            film["sop_instance_uid"] = None if read is None else read.sop_instance_uid
        return Question(
            code=query.cnnc,
            limit=max(request.candidates, request.top),
            weights_sha256=self.encoder.weights_sha256,
            geometry=geometry(self.encoder.profile.barcode),
            wanted=request.filter(None, None),
            film=film,
            patient_key=query.patient_key if request.exclude_same_patient else None,
            pseudonyms=federated.pseudonyms(self.connection),
            who=self._asking.who,
            detail={"query_image_id": None, "query_sha256": film.get("sha256"), "parameters": parameters(request)},
        )


def _check(request: Request) -> None:
    """Raise UsageError for what holds in one archive alone."""
    refused = {
        "--roi": (request.roi, "films of other sites cannot be read here"),
        "--relevant": (request.relevant, "ids of images are a site's own"),
        "--not-relevant": (request.not_relevant, "ids of images are a site's own"),
        "--where-sql": (request.where_sql, "SQL of one's own is a right in one archive"),
    }
    for option, (given, why) in refused.items():
        if given:
            raise UsageError(f"{option} cannot stand beside --site: {why}; leave one of them out")


def union(replies: Iterable[Reply[list[dict[str, Any]]]]) -> dict[int, dict[str, Any]]:
    """What the sites gave, each row with its site, by a number that is in the order of (site, image id)."""
    rows = [row | {"site": reply.site} for reply in replies for row in reply.value or ()]
    return dict(enumerate(sorted(rows, key=lambda row: (row["site"], row["image_id"])), start=1))


def cut(rows: dict[int, dict[str, Any]], limit: int, one_per: str | None) -> list[tuple[int, dict[str, Any]]]:
    """The nearest of the union by (distance, number), with those that tie with the last, as one archive gives them.

    Each site gave its nearest with ties, so that none that belongs here is missing.

    Parameters
    ----------
    one_per : `patient` or `study`: of each only the nearest. Patients are the same where the pseudonym and its key are.
    """
    ordered = sorted(rows.items(), key=lambda one: (one[1]["distance"], one[0]))
    if one_per is not None:
        first: dict[Any, tuple[int, dict[str, Any]]] = {}
        for number, row in ordered:
            first.setdefault(_group(number, row, one_per), (number, row))
        ordered = list(first.values())
    if len(ordered) <= limit:
        return ordered
    last = ordered[limit - 1][1]["distance"]
    return [one for one in ordered if one[1]["distance"] <= last][: limit + MOST_TIES]


def _group(number: int, row: dict[str, Any], one_per: str) -> object:
    """What is the same for images of one patient or study; an image of none is a group of its own."""
    value = row[GROUPS[one_per]]
    if value is None:
        return number
    return value if one_per == "study" else (value, row["pseudonyms"] or row["site"])


def _report(reply: Reply[list[dict[str, Any]]], question: Question) -> SiteReport:
    rows = reply.value or []
    excluded = None
    if question.patient_key is not None and reply.value is not None:
        excluded = all(row["pseudonyms"] == question.pseudonyms for row in rows) and question.pseudonyms is not None
    return SiteReport(
        site=reply.site,
        answered=reply.value is not None,
        problem=reply.problem,
        milliseconds=reply.milliseconds,
        candidates=len(rows),
        path=rows[0]["path"] if rows else None,
        same_patient_excluded=excluded,
    )

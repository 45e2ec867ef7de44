"""Searches of several archives at once, and how each of them is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from radretrieval.api.base import ArchiveBase, StrPath
from radretrieval.api.noting import operator
from radretrieval.api.queries import Where, conditions, query_of
from radretrieval.errors import UsageError

if TYPE_CHECKING:
    from radretrieval.search.federated import FederatedAnswer


class ArchiveFederation(ArchiveBase):
    """The part of `Archive` that asks other archives, which a file names."""

    def search_sites(
        self,
        query: StrPath | int,
        sites: Iterable[str] = (),
        *,
        deadline: float = 10.0,
        require_all: bool = False,
        top: int = 10,
        candidates: int = 50,
        where: Where = (),
        one_per: str | None = None,
        max_distance: int | None = None,
        exclude_same_patient: bool = False,
        explain: bool = False,
        encoder: int | None = None,
        device: str = "auto",
    ) -> FederatedAnswer:
        """Find the images most like a given one in several archives, as one archive of all their images would.

        This archive has the encoder, and codes the query; it is searched only where it is a site itself. Each site that
        answers has a row in its audit, and so has this archive.

        Parameters
        ----------
        query : a radiograph's file, or the id of an image of this archive.
        sites : names of the file of sites; all of them where none is named.
        deadline : seconds that sites have for connecting and answering; the others are named in `sites` of the answer.
        require_all : whether a site that does not answer is an error.
        top, candidates, where, one_per, max_distance, exclude_same_patient, explain, encoder, device : as in `search`.

        Raises
        ------
        SitesMissing : no site answered, or not all with `require_all`.
        UsageError : as `search`; an unknown site, or a file of sites that is not of the form.
        """
        from radretrieval.archive import audit, connections
        from radretrieval.archive.sites import sites_of
        from radretrieval.search.federated import Asking, FederatedSearcher
        from radretrieval.search.recorded import recorded
        from radretrieval.search.request import Request

        request = Request(
            query=query_of(query),
            top=top,
            candidates=candidates,
            where=conditions(where),
            one_per=one_per,
            max_distance=max_distance,
            exclude_same_patient=exclude_same_patient,
            explain=explain,
        )
        asked = sites_of(self.settings, set(sites))
        how = Asking(tuple(asked), _seconds(deadline), require_all, operator())
        searcher = self._kept(FederatedSearcher, encoder, device)
        answer = searcher.search_sites(request, how)
        detail = recorded(answer) | {
            "hits": [f"{hit.site}/{hit.image_id}" for hit in answer.hits],
            "sites": {site.site: site.answered for site in answer.sites},
        }
        with connections.database_errors(searcher.database.url):
            audit.note(searcher.connection, operator(), "search", detail)
        return answer

    def federation_status(self, sites: Iterable[str] = (), *, deadline: float = 10.0) -> list[dict[str, Any]]:
        """How each archive of the file of sites is; this archive itself is not opened.

        Parameters
        ----------
        sites, deadline : as in `search_sites`.

        Returns
        -------
        Of each site: site, reachable, problem, revision, askable (whether it can be searched with others), images,
        encoders (encoder_id, profile, weights_sha256, active, codes), standby, lag_seconds and round_trip_ms.
        """
        from radretrieval.archive import federated
        from radretrieval.archive.sites import sites_of

        replies = federated.states(sites_of(self.settings, set(sites)), _seconds(deadline))
        unknown = dict.fromkeys(
            ("revision", "askable", "images", "standby", "lag_seconds", "encoders", "round_trip_ms"), None
        )
        return [
            {"site": reply.site, "reachable": reply.value is not None, "problem": reply.problem}
            | unknown
            | (reply.value or {})
            for reply in replies
        ]


def _seconds(deadline: float) -> float:
    if not 0 < deadline <= 3600:
        raise UsageError(f"--deadline {deadline:g}: it takes a number of seconds above 0, at most 3600")
    return deadline

"""An archive that `radretrieval serve` serves elsewhere, asked over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from radretrieval.api.base import StrPath
from radretrieval.api.queries import Where, conditions, query_of
from radretrieval.errors import EnvironmentUnusable, InputMissing, UsageError

if TYPE_CHECKING:
    from radretrieval.search.query import Query
    from radretrieval.search.request import Answer
    from radretrieval.search.roi import Region

Roi = tuple[int, int, int, int]


class RemoteArchive:
    """An archive behind an address, with the searches of `Archive`; a context manager. One thread uses it at a time.

    Parameters
    ----------
    url : of the page, as `https://radret.hospital.example/films/`.
    auth : user and password, for a service with users in a file.
    headers : of every request, as a proxy wants them.
    verify : the file of the CA, or of the server's own self-signed certificate, in PEM; True: the CAs that `requests`
        trusts, or those in the file that REQUESTS_CA_BUNDLE names; False: no check of certificates.
    seconds : how long an answer may take.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        verify: bool | StrPath = True,
        seconds: float = 120.0,
    ) -> None:
        import requests

        self.url = url.rstrip("/") + "/"
        self._seconds = seconds
        # named with each request: REQUESTS_CA_BUNDLE takes the place of what a session says
        self._verify = verify if isinstance(verify, bool) else os.fspath(verify)
        self._session = requests.Session()
        self._session.auth = auth
        self._session.headers.update(headers or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def open(self) -> Self:
        """Ask whether the archive answers; raises EnvironmentUnusable where it does not."""
        self._call("GET", "health/ready")
        return self

    def search(
        self,
        query: StrPath | int,
        *,
        top: int = 10,
        candidates: int = 50,
        roi: Roi | str | None = None,
        roi_method: str = "context",
        roi_polarity: str = "same",
        where: Where = (),
        one_per: str | None = None,
        max_distance: int | None = None,
        exclude_same_patient: bool = False,
        explain: bool = False,
        encoder: int | None = None,
    ) -> Answer:
        """Find the images most like a given one, as `Archive.search`, which says what the parameters are.

        The file is sent, and kept there in memory for a while. What the answer's JSON does not say is empty: `pending`,
        `similarity.films` and `sha256` of hits.

        Raises
        ------
        UsageError : an argument that is not possible, an unreadable query. EnvironmentUnusable : no answer.
        """
        from radretrieval.search.answer_document import answer_of
        from radretrieval.search.request import Request
        from radretrieval.search.roi import parse_roi

        box = parse_roi(roi) if isinstance(roi, str) else roi
        request = Request(
            query=query_of(query),
            top=top,
            candidates=candidates,
            roi=box,
            roi_method=roi_method,
            roi_polarity=roi_polarity,
            where=conditions(where),
            one_per=one_per,
            max_distance=max_distance,
            exclude_same_patient=exclude_same_patient,
            explain=explain,
        )
        return answer_of(self._ask("api/search", request.query, _fields(request) | {"encoder": encoder}), request)

    def find_region(
        self, query: StrPath | int, roi: Roi, images: Iterable[int], *, polarity: str = "same"
    ) -> dict[int, Region | None]:
        """The place of a region of the query in images of the archive, by id; None where a file cannot be read."""
        from radretrieval.search.answer_document import region_of

        fields = {"roi": ",".join(map(str, roi)), "roi_polarity": polarity, "images": list(images)}
        found = self._ask("api/region", query_of(query), fields)["regions"]
        return {one["image_id"]: region_of(one["roi"]) for one in found}

    def say_relevant(self, query: int, hit: int, relevant: bool | None) -> None:
        """Say whether a hit is relevant to an image of the archive; None takes it back. Needs the role label."""
        self._call("POST", "api/feedback", json={"id": query, "hit": hit, "relevant": relevant})

    def status(self) -> dict[str, Any]:
        """Counts of the archive, as `Archive.status`. Needs the role admin."""
        found: dict[str, Any] = self._call("GET", "api/status")
        return found

    def _ask(self, path: str, query: Query, fields: Mapping[str, object]) -> Any:
        if isinstance(query, int):
            return self._call("POST", path, data={"id": query, **fields})
        assert isinstance(query, Path)
        try:
            with query.open("rb") as file:
                return self._call("POST", path, data=fields, files={"file": (query.name, file)})
        except OSError as error:
            raise InputMissing(f"{query} cannot be opened: {error.strerror or error}; check the path") from None

    def _call(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer; raises what its problem document says."""
        import requests

        try:
            answer = self._session.request(
                method, self.url + path, timeout=self._seconds, verify=self._verify, **request
            )
        except requests.exceptions.SSLError as error:
            raise EnvironmentUnusable(
                f"the certificate of {self.url} is not trusted here: {error}; name the file of its CA with verify=, or "
                "in REQUESTS_CA_BUNDLE"
            ) from None
        except requests.RequestException as error:
            raise EnvironmentUnusable(f"{self.url} cannot be reached: {error}; check the address") from None
        except OSError as error:  # requests does not find the file
            raise InputMissing(f"{self.url} cannot be asked: {error}; check verify= and REQUESTS_CA_BUNDLE") from None
        if answer.ok:
            return answer.json() if answer.content else None
        try:
            said = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            said = f"{self.url}{path} answers {answer.status_code}, and not as radretrieval does; check the address"
        raise (UsageError if answer.status_code in (400, 404, 422) else EnvironmentUnusable)(said)


def _fields(request: Any) -> dict[str, object]:
    """The form of a request."""
    fields = {name: value for name, value in vars(request).items() if name not in ("query", "where_sql")}
    fields["where"] = [f"{one.column}{one.operator}{one.value}" for one in request.where]
    fields["roi"] = None if request.roi is None else ",".join(map(str, request.roi))
    return fields

"""A DICOMweb server as a source of images: listed by QIDO-RS (PS3.18 10.6), retrieved by WADO-RS (10.4)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from radretrieval.dicom.json_model import value, values
from radretrieval.dicom.pull.source import (
    Instance,
    NotListed,
    Refused,
    Study,
    date_range,
    no_uid,
    parse_date,
    valid_uid,
)
from radretrieval.errors import NotFetched, RadretrievalError
from radretrieval.files.text import printable
from radretrieval.imaging.dicom import is_dicom
from radretrieval.storage.wado import DicomWebClient, NotAnswered, Parameter, Response, check_root

PAGE = 200  # Azure refuses more
OVERLAP = 10  # rows of a page that are requested again with the next: deletions meanwhile move the others up
LONGEST_LIST = 2**27  # bytes of one page
REFUSED = (400, 413, 422)
MOST_BROKEN = 20  # successive entries that the server cannot list
JSON = ("application/dicom+json", "application/json")  # the second for servers of before 2015
INCLUDED = ("00080020", "00080061", "00201208")  # date, modalities and number of instances of a study


class Broken(NotListed):
    """The server failed for a page."""


class DicomWebSource:
    """A DICOMweb server as a `PullSource`; `root` is the URL below which it has `studies`.

    Raises
    ------
    UsageError : `root` is no URL of this kind. EnvironmentUnusable : the credentials cannot be read.
    """

    window_days, moves, pages = 30, False, True

    def __init__(self, root: str, credentials: Path | None, max_pixels: int) -> None:
        self.origin = check_root(root, "pull")
        self._client = DicomWebClient(self.origin, credentials)
        self._max_pixels = max_pixels
        self._json = JSON[0]

    def studies(self, filters: Mapping[str, str], first: date | None, last: date | None) -> Iterator[Study]:
        """See `PullSource`."""
        parameters: dict[str, Parameter] = dict(filters)
        if (days := date_range(first, last)) is not None:
            parameters["StudyDate"] = days
        rows = self._all_pages("studies", {**parameters, "includefield": INCLUDED}, "0020000D")
        try:
            begin = list(islice(rows, 1))
        except Refused:  # some servers refuse one of these attributes
            begin, rows = [], self._all_pages("studies", parameters, "0020000D")
        for row in chain(begin, rows):
            modalities = tuple(str(one) for one in values(row, "00080061"))
            count = str(value(row, "00201208"))
            yield Study(
                valid_uid(value(row, "0020000D")) or "",
                parse_date(value(row, "00080020")),
                modalities,
                int(count) if count.isdecimal() else None,
            )

    def instances(self, study: Study) -> list[Instance]:
        """See `PullSource`: of the study, or of each of its series where the server does not list that."""
        if not study.uid:
            raise no_uid(self.origin, "studies")
        path = _study_path(study.uid)
        try:
            rows = self._all_pages(f"{path}/instances", {}, "00080018", study.instances)
            return [self._instance(study, row) for row in rows]
        except NotListed as error:
            try:
                return [one for series in self._series(path) for one in self._of_series(study, path, series)]
            except NotListed:
                raise error from None

    def _series(self, path: str) -> list[str]:
        found = [valid_uid(value(row, "0020000E")) for row in self._all_pages(f"{path}/series", {}, "0020000E")]
        if None in found:
            raise no_uid(self.origin, f"series of {path}")
        return [uid for uid in found if uid is not None]

    def _of_series(self, study: Study, path: str, series: str) -> list[Instance]:
        rows = self._all_pages(f"{path}/series/{quote(series, safe='')}/instances", {}, "00080018")
        return [self._instance(study, row, series) for row in rows]

    def _instance(self, study: Study, row: dict[str, Any], known: str | None = None) -> Instance:
        series, uid = valid_uid(value(row, "0020000E")) or known, valid_uid(value(row, "00080018"))
        if series is None or uid is None:
            return Instance(study.uid, "", "")
        modality = value(row, "00080060")
        sop_class = valid_uid(value(row, "00080016"))
        return Instance(study.uid, series, uid, sop_class, str(modality) if modality else None)

    def find(self, uid: str, study: str | None) -> Instance | None:
        """See `PullSource`. Queried across studies, which may be merged; in its study where the server rejects that."""
        parameters = {"SOPInstanceUID": uid, "limit": "2"}
        try:
            rows, _ = self._page("instances", parameters)
        except NotListed:
            if study is None:
                raise
            rows, _ = self._page(f"{_study_path(study)}/instances", parameters)
        for row in rows:
            if value(row, "00080018") == uid:
                return Instance(valid_uid(value(row, "0020000D")) or "", valid_uid(value(row, "0020000E")) or "", uid)
        if rows:
            raise NotListed(f"{self.origin} ignores SOPInstanceUID in a query: whether it has {uid} is not known")
        return None

    def retrieve(self, instance: Instance) -> bytes:
        """See `PullSource`: the stored bytes, in the stored transfer syntax."""
        url = self.location(instance)
        with self._others_may_answer(NotFetched, url):
            return self._client.instance(url, self._max_pixels, is_dicom)

    def location(self, instance: Instance) -> str:
        """The WADO-RS URL of an instance."""
        study, series, uid = (quote(part, safe="") for part in (instance.study, instance.series, instance.uid))
        return f"{self.origin}/studies/{study}/series/{series}/instances/{uid}"

    def image_uri(self, instance: Instance, sha256: bytes) -> str:
        """The WADO-RS URL: the file is fetched from it again whenever it is needed."""
        return self.location(instance)

    def close(self) -> None:
        """See `PullSource`."""
        self._client.close()

    def query(self, url: str, parameters: Mapping[str, Parameter], accept: str, limit: int) -> Response:
        """Send a query. Raises NotListed where it was not answered, EnvironmentUnusable as the client does."""
        with self._others_may_answer(NotListed, url):
            try:
                return self._client.get(url, parameters, accept, limit)
            except NotFetched as error:
                raise NotListed(str(error)) from error

    @contextlib.contextmanager
    def _others_may_answer(self, kind: type[RadretrievalError], url: str) -> Iterator[None]:
        """Raise an error of this kind where the server answers the smallest query, though not the request for `url`."""
        try:
            yield
        except NotAnswered as error:
            if not self._client.answers(f"{self.origin}/studies", {"limit": "1"}, self._json, LONGEST_LIST):
                raise
            raise kind(
                f"the server does not give {url} ({error.reason}), though it answers other requests; the next pull "
                "tries it again"
            ) from error

    def _all_pages(
        self, path: str, parameters: Mapping[str, Parameter], key: str, total: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """All rows of a query, each once by the UID `key`, and an empty one where there are some that cannot be listed.

        A server may fail for a page because it cannot read one file: smaller pages list the others. `total` is how many
        rows there are, where known.
        """
        seen: dict[object, None] = {}
        offset, yielded = 0, 0
        limit, broken = PAGE, 0
        while True:
            try:
                rows, partial = self._page(path, {**parameters, "limit": str(limit), "offset": str(offset)})
            except Broken:
                broken += limit == 1
                if broken > MOST_BROKEN:
                    raise
                offset, limit = offset + (limit == 1), max(1, limit // 2)
                if broken and None not in seen:
                    seen[None] = None
                    yield {}
                continue
            whole, limit, broken = limit == PAGE, min(2 * limit, PAGE), 0
            new = [row for row in rows if value(row, key) not in seen]
            for row in new:
                if (uid := value(row, key)) not in seen:
                    seen[uid] = None
                    yielded += 1
                    yield row
            # A short page need not be the last: some servers have smaller pages, some have none and return all.
            if not rows or (whole and not new) or (yielded == total and not partial):
                if partial and rows:
                    raise NotListed(f"{self.origin}/{path} has more than {yielded} entries, and does not list them")
                return
            offset += len(rows) - min(OVERLAP, len(rows) // 2)
            while len(seen) > 20 * PAGE:  # only neighbours come twice
                del seen[next(iter(seen))]

    def _page(self, path: str, parameters: Mapping[str, Parameter]) -> tuple[list[dict[str, Any]], bool]:
        """Rows of one response, and whether the server says that it has more (206 Partial Content)."""
        url, check = f"{self.origin}/{path}", f"check that {self.origin} is the root of DICOMweb"
        response = self.query(url, parameters, self._json, LONGEST_LIST)
        if response.status == 406 and self._json == JSON[0]:
            self._json = JSON[1]
            response = self.query(url, parameters, self._json, LONGEST_LIST)
        if response.status == 204:
            return [], False
        if response.status in REFUSED:
            raise Refused(f"{url} answers {response}; {check}")
        if response.status not in (200, 206):
            if response.status >= 500:
                raise Broken(f"{url} answers {response}; its log has the reason")
            raise NotListed(f"{url} answers {response}; {check}")
        text = response.body.decode("utf-8-sig", "replace").strip()  # UIDs, dates and codes are ASCII
        try:
            rows = json.loads(text) if text not in ("", "null") else []
        except (ValueError, RecursionError):  # nested thousands of times
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            came = f"{response.content_type or 'no content type'}, {printable(text[:60])!r}"
            raise NotListed(f"{url} answers {response} with no list of DICOM JSON ({came}); {check}")
        return rows, response.status == 206


def _study_path(study: str) -> str:
    return f"studies/{quote(study, safe='')}"

"""A DICOMweb server: what it has (QIDO-RS, PS3.18 10.6) and the files, as they are stored there (WADO-RS, 10.4)."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from radretrieval.dicom.pull.source import (
    Denied,
    Instance,
    NotFetched,
    NotListed,
    NotThere,
    PeerUnusable,
    Study,
    date_range,
    day,
    legal_uid,
)
from radretrieval.errors import ImageError, UsageError
from radretrieval.storage.wado import ACCEPT, CONNECT_SECONDS, READ_SECONDS, authorization, split_parts

if TYPE_CHECKING:
    import requests

PAGE = 500
OVERLAP = 10  # so many of a page are asked for again with the next: deletions meanwhile move the others up
PAUSES = (0.3, 1.0)  # seconds before the second and third attempt: a dead server is told of within seconds
LATER = (429, 502, 503, 504)  # the server, or what stands before it, cannot just now
SLOW = 3  # so many answers in a row that do not come in time: the server hangs
LONGEST_ROOT = 1000
LONGEST_LIST = 2**27  # bytes of one page
JSON = "application/dicom+json"


@dataclass(frozen=True)
class _Answer:
    status: int
    reason: str
    kind: str
    body: bytes

    def __str__(self) -> str:
        said = self.body[:200].decode("utf-8", "replace").split("\n")[0].strip() if self.status >= 400 else ""
        return f"{self.status} {self.reason}" + f" ({said})" * bool(said and said[0] not in "<{[")


class Web:
    """A DICOMweb server as a `Peer`; `root` is the URL below which it has `studies`.

    Raises
    ------
    UsageError : `root` is no URL of this kind. EnvironmentUnusable : the credentials cannot be read.
    """

    window_days, sends = 30, False

    def __init__(self, root: str, credentials: Path | None, max_pixels: int) -> None:
        self.origin = checked_root(root)
        self._authorization = authorization(credentials)
        self._most = 8 * max_pixels + 2**26  # as `imaging.remote.fetch`, which reads these files again
        self._own = threading.local()
        self._sessions: list[requests.Session] = []
        self._slow = 0

    def studies(self, filters: Mapping[str, str], first: date | None, last: date | None) -> Iterator[Study]:
        """See `Peer`."""
        asked = {**filters, "includefield": "00080020,00080061,00201208"}
        if (days := date_range(first, last)) is not None:
            asked["StudyDate"] = days
        for row in self._all("studies", asked, "0020000D"):
            uid = legal_uid(_value(row, "0020000D"))
            if uid is not None:
                modalities = tuple(str(one) for one in _values(row, "00080061"))
                yield Study(uid, day(_value(row, "00080020")), modalities, _count(_value(row, "00201208")))

    def instances(self, study: Study) -> list[Instance]:
        """See `Peer`."""
        rows = self._all(f"studies/{quote(study.uid, safe='')}/instances", {}, "00080018", study.instances)
        found = []
        for row in rows:
            series, uid = legal_uid(_value(row, "0020000E")), legal_uid(_value(row, "00080018"))
            if series is None or uid is None:
                raise NotListed(f"{self.origin} lists an instance of the study {study.uid} without its UIDs")
            modality = _value(row, "00080060")
            sop_class = legal_uid(_value(row, "00080016"))
            found.append(Instance(study.uid, series, uid, sop_class, str(modality) if modality else None))
        return found

    def has(self, uid: str, study: str | None) -> bool:
        """See `Peer`. Asked for across studies, which may be merged; of its own where the server knows no such way."""
        asked = {"SOPInstanceUID": uid, "limit": "2"}
        try:
            rows = self._rows("instances", asked)
        except NotListed:
            if study is None:
                raise
            rows = self._rows(f"studies/{quote(study, safe='')}/instances", asked)
        return any(_value(row, "00080018") == uid for row in rows)

    def fetch(self, instance: Instance) -> bytes:
        """See `Peer`: the stored bytes, in the stored transfer syntax."""
        url = self.place(instance)
        try:
            answer = self.get(url, {}, ACCEPT, self._most, READ_SECONDS)
        except NotListed as error:
            raise NotFetched(str(error)) from error
        if answer.status in (404, 410):
            raise NotThere(f"the server lists it, and answers {answer} when it is asked for")
        if answer.status != 200:
            raise NotFetched(f"the server answers {answer}; its log has the reason, the next pull asks again")
        multipart = answer.kind.lower().startswith("multipart/")
        try:
            parts = split_parts(answer.body, answer.kind) if multipart else [answer.body]
        except ImageError as error:
            raise NotFetched(str(error)) from error
        if len(parts) != 1:
            raise NotFetched(f"the server gives {len(parts)} files for one instance")
        return parts[0]

    def place(self, instance: Instance) -> str:
        """The WADO-RS URL of an instance."""
        study, series, uid = (quote(part, safe="") for part in (instance.study, instance.series, instance.uid))
        return f"{self.origin}/studies/{study}/series/{series}/instances/{uid}"

    def uri(self, instance: Instance, sha256: bytes) -> str:
        """The same: the server gives the file again whenever it is needed."""
        return self.place(instance)

    def close(self) -> None:
        """See `Peer`."""
        for session in self._sessions:
            session.close()

    def _all(self, path: str, asked: Mapping[str, str], key: str, total: int | None = None) -> Iterator[dict[str, Any]]:
        """All pages of an answer, each row once by the UID `key`; `total` is how many there are, where known."""
        seen: dict[object, None] = {}
        offset, told = 0, 0
        while True:
            rows = self._rows(path, {**asked, "limit": str(PAGE), "offset": str(offset)})
            fresh = [row for row in rows if _value(row, key) not in seen]
            for row in fresh:
                if (uid := _value(row, key)) not in seen:
                    seen[uid] = None
                    told += 1
                    yield row
            # Not "a short page is the last": servers have smaller pages of their own, some know none and tell all.
            if not fresh or told == total:
                return
            offset += len(rows) - min(OVERLAP, len(rows) // 2)
            while len(seen) > 20 * PAGE:  # only neighbours come twice
                del seen[next(iter(seen))]

    def _rows(self, path: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        url = f"{self.origin}/{path}"
        answer = self.get(url, asked, JSON, LONGEST_LIST, READ_SECONDS / 2)
        if answer.status == 204:
            return []
        if answer.status != 200:
            wrong = (
                "its log has the reason"
                if answer.status >= 500
                else f"check that {self.origin} is the root of DICOMweb"
            )
            raise NotListed(f"{url} answers {answer}; {wrong}")
        try:
            rows = json.loads(answer.body)
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NotListed(
                f"{url} answers with no list of DICOM JSON; check that {self.origin} is the root of DICOMweb"
            )
        return rows

    def get(self, url: str, asked: Mapping[str, str], accept: str, most: int, seconds: float) -> _Answer:
        """One answer, asked for a few times where the way there fails.

        Raises PeerUnusable where it cannot be had at all, NotListed where this one did not come in time or is too long.
        """
        import requests

        for pause in (*PAUSES, None):
            try:
                answer = self._once(url, asked, accept, most, seconds)
            except requests.exceptions.SSLError as error:
                raise PeerUnusable(
                    f"{self.origin} is not trusted ({_reason(error)}); let REQUESTS_CA_BUNDLE name the file of the "
                    "authority that signed its certificate"
                ) from error
            except requests.exceptions.ReadTimeout as error:
                self._slow += 1
                if self._slow >= SLOW:
                    raise self._away(f"it takes more than {seconds:.0f} s to answer") from error
                raise NotListed(f"{url} did not answer within {seconds:.0f} s; the next pull asks again") from error
            except requests.RequestException as error:
                slow = isinstance(error, requests.exceptions.ConnectTimeout)
                if pause is None or (slow and pause != PAUSES[0]) or isinstance(error, ValueError):
                    raise self._away(_reason(error)) from error
            else:
                if answer.status == 401:
                    raise Denied(
                        f"{self.origin} answers {answer}: it does not take the credentials; let --credentials or "
                        "RADRETRIEVAL_CREDENTIALS name a file with one line, user:password or Bearer TOKEN"
                    )
                if answer.status not in LATER:
                    return answer
                if pause is None:
                    raise self._away(f"it answers {answer}")
            time.sleep(pause)
        raise AssertionError

    def _once(self, url: str, asked: Mapping[str, str], accept: str, most: int, seconds: float) -> _Answer:
        session, body = self._session(), bytearray()
        headers = {"Accept": accept}
        with session.get(url, params=asked, headers=headers, timeout=(CONNECT_SECONDS, seconds), stream=True) as answer:
            for piece in answer.iter_content(2**20):
                body += piece
                if len(body) > most:
                    raise NotListed(f"{url} gives more than {most:,} bytes, longer than any answer we take")
            self._slow = 0
            return _Answer(answer.status_code, answer.reason or "", answer.headers.get("Content-Type", ""), bytes(body))

    def _away(self, reason: str) -> PeerUnusable:
        return PeerUnusable(
            f"the DICOMweb server {self.origin} cannot be reached: {reason}; check the URL and that the server runs, "
            "then run it again: it goes on where it was"
        )

    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._own, "session", None)
        if found is None:
            import requests

            found = self._own.session = requests.Session()
            # as a callable: a ~/.netrc is not put in its place, and no other host gets it by a redirection
            found.auth = self._authorize
            self._sessions.append(found)
        return found

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._authorization)
        return request


def checked_root(url: str) -> str:
    """A DICOMweb root without the slash at its end; raises UsageError for what is no URL of one."""
    parts = urlsplit(url)
    with contextlib.suppress(ValueError):
        if parts.username or parts.password:
            raise UsageError(
                "the URL has a user or password in it, which would be kept with every image; put user:password into a "
                "file and name it with --credentials"
            )
        if parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment:
            parts.port  # noqa: B018 raises ValueError
            if len(url) <= LONGEST_ROOT:
                return url.rstrip("/")
    raise UsageError(f"{url} is no DICOMweb root; name one as in https://pacs.example.org/dicom-web")


def _reason(error: Exception) -> str:
    """The innermost words of an error of requests, which wraps them several times."""
    inner: Any = error
    while isinstance(getattr(inner, "reason", None) or (inner.args or [None])[0], Exception):
        inner = getattr(inner, "reason", None) or inner.args[0]
    text = str(inner)
    return text.rpartition("): ")[2] or text


def _values(row: Mapping[str, Any], tag: str) -> list[Any]:
    found = row.get(tag)
    values = found.get("Value") if isinstance(found, dict) else None
    return values if isinstance(values, list) else []


def _value(row: Mapping[str, Any], tag: str) -> Any:
    values = _values(row, tag)
    return values[0] if values and isinstance(values[0], str | int) else None


def _count(said: object) -> int | None:
    try:
        return int(str(said))
    except ValueError:
        return None

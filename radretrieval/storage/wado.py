"""GET requests to a DICOMweb server, with retries, and the stored file of one instance (WADO-RS, PS3.18 10.4)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from radretrieval.errors import EnvironmentUnusable, ImageError, NotFetched, NotThere, UsageError
from radretrieval.files.text import printable
from radretrieval.storage.multipart import media_type, split_parts
from radretrieval.storage.reading import Reading
from radretrieval.storage.retries import Retry, retried, retry_after
from radretrieval.storage.web_session import (
    authorization,
    certificate_refused,
    innermost_reason,
    session_with,
    timed_out,
    untrusted,
)

if TYPE_CHECKING:
    import requests

Parameter = str | Sequence[str]  # of a query; several values are sent one by one

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
QUERY_SECONDS = 30.0  # of silence after a query
SILENCES = (10.0, 30.0)  # seconds of silence after the first request for a file, and after the second
# Any transfer syntax: without this a server transcodes, and refuses what it cannot transcode (PS3.18, 8.7.3.5). The
# others are for servers that refuse a list of media types, or parameters.
ACCEPTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*, application/dicom; transfer-syntax=*; q=0.5',
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    "application/dicom; transfer-syntax=*",
    'multipart/related; type="application/dicom"',
    "*/*",
)
NOT_ACCEPTABLE = (400, 406)
RETRY_SECONDS = (0.3, 1.0)  # before the second and third attempt: a server that is down is reported within seconds
OVERLOADED = (429, 502, 503, 504)  # the server, or a proxy before it, is overloaded or restarts
RETRIED = (408, 500)
MOST_FAILED = 3  # successive files that were not retrieved: the next ones are requested once
LONGEST_ROOT = 1000
SLOW_SECONDS, SLOWEST = 60.0, 1000  # a response may take so long, and a second more for each so many bytes


class CredentialsRejected(EnvironmentUnusable):
    """The server answers 401 Unauthorized."""


class NotAnswered(EnvironmentUnusable):
    """The server did not answer a request, or says that it is overloaded.

    reason : what happened to the last attempt.
    """

    def __init__(self, root: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the DICOMweb server {root} cannot be reached ({reason}); check the server, its URL and "
            "RADRETRIEVAL_CREDENTIALS, then run this again"
        )


@dataclass(frozen=True)
class Response:
    """A whole HTTP response; printed as its status, with the first line of an error message."""

    status: int
    reason: str
    content_type: str
    body: bytes
    pause: float = 0.0  # seconds that it asks to wait (Retry-After)

    def __str__(self) -> str:
        text = self.body[:200].decode("utf-8", "replace").split("\n")[0].strip() if self.status >= 400 else ""
        return printable(f"{self.status} {self.reason}" + f" ({text})" * bool(text and text[0] not in "<{["))


class DicomWebClient:
    """Sends GET requests to one DICOMweb server, from any number of threads; each has an HTTP session of its own.

    Parameters
    ----------
    root : URL below which the server has `studies`.
    credentials : file of user and password, or of a bearer token; None sends none.

    Raises
    ------
    EnvironmentUnusable : the credentials cannot be read.
    """

    def __init__(self, root: str, credentials: Path | None) -> None:
        self.root = root
        self._authorization = authorization(credentials)
        self._thread = threading.local()
        self._sessions: list[requests.Session] = []
        self._failed = 0
        self._accept = 0  # the first of ACCEPTS that the server takes

    def instance(self, url: str, max_pixels: int, valid: Callable[[bytes], bool] | None = None) -> bytes:
        """Fetch the stored file of an instance, in its stored transfer syntax, by its WADO-RS URL.

        Each attempt fetches all of it. A response larger than any image of `max_pixels` is refused.

        Parameters
        ----------
        valid : whether the bytes are a file of the kind that is expected; others are requested again, then refused.

        Raises
        ------
        NotThere : the server does not have it. NotFetched : this request failed, others may succeed.
        EnvironmentUnusable : the server cannot be used: NotAnswered after the last attempt.
        """

        def attempt(silence: float) -> bytes:
            for number, accept in enumerate(ACCEPTS[self._accept :], self._accept):
                response = self._attempt(url, {}, accept, 8 * max_pixels + 2**26, silence)
                if response.status not in NOT_ACCEPTABLE:
                    self._accept = number
                    break
            return _stored_file(url, response, valid)

        patient = self._failed < MOST_FAILED
        try:
            data = retried(attempt, RETRY_SECONDS if patient else (), SILENCES if patient else SILENCES[:1])
        except NotThere:
            raise
        except Exception:
            self._failed += 1
            raise
        self._failed = 0
        return data

    def get(self, url: str, parameters: Mapping[str, Parameter], accept: str, limit: int) -> Response:
        """Send a query, again where the connection fails or the server is overloaded; `limit` bytes may come.

        Raises
        ------
        NotFetched : the response is too long, or an error of the server.
        EnvironmentUnusable : the server is not trusted; NotAnswered after the last attempt, CredentialsRejected
        after a 401.
        """

        def attempt(silence: float) -> Response:
            return self._attempt(url, parameters, accept, limit, silence)

        return retried(attempt, RETRY_SECONDS, (QUERY_SECONDS,))

    def answers(self, url: str, parameters: Mapping[str, Parameter], accept: str, limit: int) -> bool:
        """Whether the server answers a query, by whatever, in one attempt."""
        try:
            self._attempt(url, parameters, accept, limit, QUERY_SECONDS)
        except Retry:
            return False
        except NotFetched:  # it is long
            pass
        return True

    def close(self) -> None:
        """Close the connections of all threads."""
        for session in self._sessions:
            session.close()

    def _attempt(
        self, url: str, parameters: Mapping[str, Parameter], accept: str, limit: int, silence: float
    ) -> Response:
        """Send one request. Raises Retry, NotFetched and EnvironmentUnusable as `get`."""
        import requests

        try:
            response = self._send(url, parameters, accept, limit, silence)
        except requests.RequestException as error:
            if certificate_refused(error):
                raise untrusted(self.root, error) from error
            if isinstance(error, ValueError):
                raise NotAnswered(self.root, innermost_reason(error)) from error
            if isinstance(error, requests.exceptions.ConnectTimeout):  # a second attempt is enough
                raise Retry(NotAnswered(self.root, innermost_reason(error)), attempts=2) from error
            if timed_out(error):  # before or within the response
                reason = f"it takes more than {silence:.0f} s to answer"
                raise Retry(NotAnswered(self.root, reason), timed_out=True) from error
            raise Retry(NotAnswered(self.root, innermost_reason(error))) from error
        if response.status == 401:
            raise CredentialsRejected(
                f"{self.root} answers {response}: it does not accept the credentials; let RADRETRIEVAL_CREDENTIALS "
                "(or --credentials of pull) name a file with one line, user:password or Bearer TOKEN"
            )
        if response.status in OVERLOADED:
            raise Retry(NotAnswered(self.root, f"it answers {response}"), pause=response.pause)
        return response

    def _send(self, url: str, parameters: Mapping[str, Parameter], accept: str, limit: int, silence: float) -> Response:
        body, times = bytearray(), (CONNECT_SECONDS, silence)
        with self._session().get(url, params=parameters, headers={"Accept": accept}, timeout=times, stream=True) as got:
            begun = time.monotonic()
            for piece in _pieces(got):
                body += piece
                if len(body) > limit:
                    raise NotFetched(f"{url} gives more than the {limit:,} bytes that are accepted")
                if time.monotonic() - begun > SLOW_SECONDS + len(body) / SLOWEST:
                    raise NotFetched(f"{url} comes too slowly: {len(body):,} bytes in {SLOW_SECONDS:.0f} s or more")
            kind, pause = got.headers.get("Content-Type", ""), retry_after(got.headers.get("Retry-After", ""))
            return Response(got.status_code, got.reason or "", kind, bytes(body), pause)

    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._thread, "session", None)
        if found is None:
            found = self._thread.session = session_with(self._authorization)
            self._sessions.append(found)
        return found


def _pieces(got: requests.Response) -> Iterator[bytes]:
    """The body of a response as it comes: `iter_content` would wait for a whole piece. Raises RequestException."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        while piece := got.raw.read1(2**20, decode_content=True):
            yield piece
    except HTTPError as error:
        raise requests.ConnectionError(error) from error


def fetch_instance(url: str, reading: Reading) -> bytes:
    """Fetch the file of an image by its WADO-RS URL; raises ImageError with the reason when it cannot be had."""
    client = DicomWebClient(url.partition("/studies/")[0], reading.credentials)
    try:
        return client.instance(url, reading.max_pixels)
    except EnvironmentUnusable as error:  # of this image: others lie elsewhere
        raise ImageError(str(error)) from error
    finally:
        client.close()


def check_root(url: str, option: str) -> str:
    """Return the root of a DICOMweb server without the slash at its end; raises UsageError, which names `option`."""
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise UsageError(
            f"{option}: user and password do not belong into a URL, which others can read; write user:password into a "
            "file and name it with RADRETRIEVAL_CREDENTIALS (or --credentials of pull)"
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        valid = False
    if not valid or parts.query or parts.fragment or len(url) > LONGEST_ROOT:
        raise UsageError(
            f"{option} {printable(url)}: the form is https://host/dicom-web, the root of a DICOMweb server"
        )
    root = url.rstrip("/")
    if root.endswith("/studies"):
        raise UsageError(
            f"{option} {printable(url)}: the root of the server is meant, {printable(root.removesuffix('/studies'))}"
        )
    return root


def _stored_file(url: str, response: Response, valid: Callable[[bytes], bool] | None) -> bytes:
    """The file of an instance in a response. Raises NotThere, NotFetched; Retry where the next response may have it."""
    if response.status in (404, 410):
        raise NotThere(f"the server does not have {url}: it answers {response}")
    if response.status != 200:
        error = NotFetched(f"the server answers {response} for {url}; its log has the reason")
        raise Retry(error, pause=response.pause) if response.status in RETRIED else error
    kind, boundary = media_type(response.content_type)
    begin = response.body[:100].lstrip(b"\r\n")
    if begin.startswith(b"--") and not kind.startswith("multipart/"):  # a proxy has lost the Content-Type
        kind, boundary = "multipart/related", begin.splitlines()[0].decode("latin-1").rstrip()[2:]
    try:
        parts = split_parts(response.body, boundary) if kind.startswith("multipart/") else [response.body]
    except NotFetched as error:
        raise Retry(error) from error
    if len(parts) != 1:
        raise NotFetched(f"{url} gives {len(parts)} files, not one; name an instance")
    if valid is not None and not valid(parts[0]):
        text = printable(parts[0][:40].decode("ascii", "replace"))
        raise Retry(NotFetched(f"{url} gives what is no DICOM file: {len(parts[0]):,} bytes as {kind}, {text!r}"))
    return parts[0]

"""GET requests to a DICOMweb server, with retries, and the stored file of one instance (WADO-RS, PS3.18 10.4)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from radretrieval.config import Reading
from radretrieval.errors import EnvironmentUnusable, ImageError, NotFetched, NotThere, UsageError
from radretrieval.files.text import printable

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
# any transfer syntax: without this a server transcodes, and refuses what it cannot transcode (PS3.18, 8.7.3.5)
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*, application/dicom; transfer-syntax=*; q=0.5'
RETRY_SECONDS = (0.3, 1.0)  # before the second and third attempt: a server that is down is reported within seconds
RETRIED_STATUSES = (429, 502, 503, 504)  # the server, or a proxy before it, is overloaded or restarts
MOST_TIMEOUTS = 3  # successive responses that did not come in time: the server hangs
LONGEST_ROOT = 1000


class CredentialsRejected(EnvironmentUnusable):
    """The server answers 401 Unauthorized."""


@dataclass(frozen=True)
class Response:
    """A whole HTTP response; printed as its status, with the first line of an error message."""

    status: int
    reason: str
    content_type: str
    body: bytes

    def __str__(self) -> str:
        text = self.body[:200].decode("utf-8", "replace").split("\n")[0].strip() if self.status >= 400 else ""
        return f"{self.status} {self.reason}" + f" ({text})" * bool(text and text[0] not in "<{[")


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
        self._timeouts = 0

    def instance(self, url: str, max_pixels: int) -> bytes:
        """Fetch the stored file of an instance, in its stored transfer syntax, by its WADO-RS URL.

        A response larger than any image of `max_pixels` is refused.

        Raises
        ------
        NotThere : the server does not have it. NotFetched : this request failed, others may succeed.
        EnvironmentUnusable : the server cannot be used.
        """
        response = self.get(url, {}, ACCEPT, 8 * max_pixels + 2**26, READ_SECONDS)
        if response.status in (404, 410):
            raise NotThere(f"the server does not have {url}: it answers {response}")
        if response.status != 200:
            raise NotFetched(f"the server answers {response} for {url}; its log has the reason")
        multipart = response.content_type.lower().startswith("multipart/")
        parts = split_parts(response.body, response.content_type) if multipart else [response.body]
        if len(parts) != 1:
            raise NotFetched(f"{url} gives {len(parts)} files, not one; name an instance")
        return parts[0]

    def get(self, url: str, parameters: Mapping[str, str], accept: str, limit: int, seconds: float) -> Response:
        """Send one request, again where the connection fails or the server is overloaded.

        Parameters
        ----------
        limit : bytes that the body may have. seconds : how long the server may be silent.

        Raises
        ------
        NotFetched : this response did not come in time or is too long.
        EnvironmentUnusable : the server cannot be reached or is not trusted; CredentialsRejected after a 401.
        """
        import requests

        for pause in (*RETRY_SECONDS, None):
            try:
                response = self._send(url, parameters, accept, limit, seconds)
            except requests.exceptions.SSLError as error:
                raise untrusted(self.root, error) from error
            except requests.exceptions.ReadTimeout as error:
                self._timeouts += 1
                if self._timeouts >= MOST_TIMEOUTS:
                    raise self._unreachable(f"it takes more than {seconds:.0f} s to answer") from error
                raise NotFetched(f"{url} did not answer within {seconds:.0f} s; try again later") from error
            except requests.RequestException as error:
                timeout = isinstance(error, requests.exceptions.ConnectTimeout)  # a second attempt is enough
                if pause is None or (timeout and pause != RETRY_SECONDS[0]) or isinstance(error, ValueError):
                    raise self._unreachable(innermost_reason(error)) from error
            else:
                if response.status == 401:
                    raise CredentialsRejected(
                        f"{self.root} answers {response}: it does not accept the credentials; let "
                        "RADRETRIEVAL_CREDENTIALS (or --credentials of pull) name a file with one line, user:password "
                        "or Bearer TOKEN"
                    )
                if response.status not in RETRIED_STATUSES:
                    return response
                if pause is None:
                    raise self._unreachable(f"it answers {response}")
            time.sleep(pause)
        raise AssertionError

    def close(self) -> None:
        """Close the connections of all threads."""
        for session in self._sessions:
            session.close()

    def _send(self, url: str, parameters: Mapping[str, str], accept: str, limit: int, seconds: float) -> Response:
        body, times = bytearray(), (CONNECT_SECONDS, seconds)
        with self._session().get(url, params=parameters, headers={"Accept": accept}, timeout=times, stream=True) as got:
            for piece in got.iter_content(2**20):
                body += piece
                if len(body) > limit:
                    raise NotFetched(f"{url} gives more than the {limit:,} bytes that are accepted")
            self._timeouts = 0
            return Response(got.status_code, got.reason or "", got.headers.get("Content-Type", ""), bytes(body))

    def _session(self) -> requests.Session:
        found: requests.Session | None = getattr(self._thread, "session", None)
        if found is None:
            import requests

            found = self._thread.session = requests.Session()
            # a callable, so that no ~/.netrc replaces it and a redirection to another host does not get it
            found.auth = self._authorize
            self._sessions.append(found)
        return found

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._authorization)
        return request

    def _unreachable(self, reason: str) -> EnvironmentUnusable:
        return EnvironmentUnusable(
            f"the DICOMweb server {self.root} cannot be reached ({reason}); check the server, its URL and "
            "RADRETRIEVAL_CREDENTIALS, then run this again"
        )


def fetch_instance(url: str, reading: Reading) -> bytes:
    """Fetch the file of an image by its WADO-RS URL; raises ImageError with the reason when it cannot be had."""
    client = DicomWebClient(url.partition("/studies/")[0], reading.credentials)
    try:
        return client.instance(url, reading.max_pixels)
    except EnvironmentUnusable as error:  # of this image: others lie elsewhere
        raise ImageError(str(error)) from error
    finally:
        client.close()


def authorization(credentials: Path | None) -> dict[str, str]:
    """Return the HTTP header for the credentials in a file: `user:password`, or `Bearer TOKEN`; none without a file.

    Raises EnvironmentUnusable for a file that cannot be read, or that holds neither.
    """
    if credentials is None:
        return {}
    import base64

    try:
        text = credentials.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise EnvironmentUnusable(
            f"the credentials {credentials} cannot be read ({error}); check the file's name and permissions"
        ) from error
    if text.lower().startswith("bearer ") and "\n" not in text:
        return {"Authorization": text}
    if ":" in text and "\n" not in text:
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}
    raise EnvironmentUnusable(
        f"the credentials {credentials} are not one line `user:password` or `Bearer TOKEN`; write the file again"
    )


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
    return url.rstrip("/")


def untrusted(root: str, error: Exception) -> EnvironmentUnusable:
    """The error of a server whose TLS certificate cannot be verified."""
    return EnvironmentUnusable(
        f"{root} has a certificate that is not trusted here ({innermost_reason(error)}); name the file of its "
        "certificate authority with REQUESTS_CA_BUNDLE"
    )


def innermost_reason(error: BaseException) -> str:
    """The text of the first cause of an error of requests, which wraps those of urllib3 and of the socket."""
    while isinstance(cause := error.__cause__ or error.__context__ or getattr(error, "reason", None), BaseException):
        error = cause
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]


def split_parts(data: bytes, content_type: str) -> list[bytes]:
    """The bodies of a multipart message (RFC 2046, 5.1), byte for byte."""
    named = re.search(r'boundary="?([^";]+)"?', content_type, re.IGNORECASE)
    if named is None:
        raise NotFetched("the server's response has several parts and does not name their boundary")
    parts = (b"\r\n" + data).split(b"\r\n--" + named[1].encode())
    return [part.partition(b"\r\n\r\n")[2] for part in parts[1:] if not part.startswith(b"--")]

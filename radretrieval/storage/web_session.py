"""HTTP sessions with the credentials of a DICOMweb server, and what the errors of requests mean."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from radretrieval.errors import EnvironmentUnusable

if TYPE_CHECKING:
    import requests


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


def session_with(header: dict[str, str]) -> requests.Session:
    """An HTTP session that sends this Authorization to the first host, and never one of ~/.netrc."""
    import requests

    class Session(requests.Session):
        def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
            # requests itself takes the user and password of ~/.netrc after every redirection
            before, after = str(response.request.url), str(prepared_request.url)
            if self.should_strip_auth(before, after):  # type: ignore[no-untyped-call]
                prepared_request.headers.pop("Authorization", None)

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(header)
        return request

    made = Session()
    made.auth = authorize  # without it requests asks ~/.netrc
    return made


def untrusted(root: str, error: Exception) -> EnvironmentUnusable:
    """The error of a server whose TLS certificate cannot be verified."""
    return EnvironmentUnusable(
        f"{root} has a certificate that is not trusted here ({innermost_reason(error)}); name the file of its "
        "certificate authority with REQUESTS_CA_BUNDLE"
    )


def certificate_refused(error: BaseException) -> bool:
    """Whether an error of requests comes from the certificate, not from a connection that was lost."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def timed_out(error: BaseException) -> bool:
    """Whether an error of requests is a server that was silent for too long, before or within its response."""
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def innermost_reason(error: BaseException) -> str:
    """The text of the first cause of an error of requests, which wraps those of urllib3 and of the socket."""
    *_, error = _causes(error)
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it: requests wraps the errors of urllib3, which wraps those of the socket."""
    found: BaseException | None = error
    while found is not None:
        yield found
        reason = getattr(found, "reason", None)
        found = found.__cause__ or found.__context__ or (reason if isinstance(reason, BaseException) else None)

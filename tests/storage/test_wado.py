"""Files of images that a DICOMweb server keeps."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from programs import needs_program
from small_web import SmallWeb, serving

from radretrieval.dicom.send import stow
from radretrieval.errors import EnvironmentUnusable, ImageError, NotThere
from radretrieval.storage import retries
from radretrieval.storage.reading import Reading
from radretrieval.storage.wado import authorization, fetch_instance

PATH = "/studies/1.2/series/1.2.1/instances/1.2.3"
READING = Reading(max_pixels=10**6)


@dataclass
class Restarting(SmallWeb):
    """Answers 503 a few times."""

    unavailable: int = 0
    studies: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"1.2": {"1.2.3": b"DICM"}})

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        if self.unavailable:
            self.unavailable -= 1
            return 503, "text/html", b"starting"
        return super().answer(path, query)


def test_a_server_that_restarts_is_asked_again() -> None:
    with serving(Restarting(unavailable=2)) as web:
        assert fetch_instance(web.root + PATH, READING) == b"DICM"


def test_a_server_that_cannot_be_used_fails_the_image_alone() -> None:
    with serving(Restarting(unavailable=3)) as web:
        with pytest.raises(ImageError, match=rf"{web.root} cannot be reached \(it answers 503"):
            fetch_instance(web.root + PATH, READING)
        with pytest.raises(NotThere, match="404"):
            fetch_instance(web.root + PATH + "4", READING)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/dicom", b"DICM"),
        ("", b"DICM"),
        (
            'multipart/related ; BOUNDARY = "b b" ; type=application/dicom',
            b"--b b\nContent-Length: 4\n\nDICM\n--b b--\n",
        ),
    ],
)
def test_field_12_a_file_comes_alone_or_as_a_part(kind: str, body: bytes) -> None:
    with serving(SmallWeb(kinds={PATH: (kind, body)})) as web:
        assert fetch_instance(web.root + PATH, READING) == b"DICM"


def test_field_12_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(Restarting()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.root)
        assert fetch_instance("http://pacs.invalid" + PATH, READING) == b"DICM"


def test_field_10_a_server_says_when_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=slept.append))  # other threads sleep, too
    with serving(SmallWeb(habits={PATH: "503"})) as web:  # Retry-After: 1
        for longest in (10.0, 0.5):
            monkeypatch.setattr(retries, "LONGEST_PAUSE", longest)
            with pytest.raises(ImageError, match="503"):
                fetch_instance(web.root + PATH, READING)
    assert slept == [1.0, 1.0, 0.5, 1.0]
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=2))
    assert [retries.retry_after(text) for text in (" 7", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT")] == [7, 0, 0, 0]
    assert 100 < retries.retry_after(later) <= 120


def test_field_10_an_error_of_tls_need_not_be_one_of_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_program("openssl")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    made = ["openssl", "req", "-x509", *curve, "-keyout", "key.pem", "-out", "cert.pem", *names]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(Restarting(), tls) as web:
        with pytest.raises(ImageError, match="certificate that is not trusted"):
            fetch_instance(web.root + PATH, READING)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        assert fetch_instance(web.root + PATH, READING) == b"DICM"
    with serving(Restarting()) as web, pytest.raises(ImageError, match="cannot be reached") as told:
        fetch_instance(web.root.replace("http", "https") + PATH, READING)  # which speaks no TLS
    assert "certificate" not in str(told.value)


class TestCredentials:
    """To whom the credentials go, where ~/.netrc has others."""

    @pytest.fixture
    def reading(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
        (tmp_path / "netrc").write_text("default login other password wrong\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        (tmp_path / "credentials").write_text("Bearer abc")
        return Reading(max_pixels=10**6, credentials=tmp_path / "credentials")

    def test_field_12_no_netrc_replaces_them(self, reading: Reading) -> None:
        with serving(Restarting(redirects={"/old" + PATH: PATH})) as web:
            assert fetch_instance(web.root + "/old" + PATH, reading) == b"DICM"
            assert web.authorized == [("/old" + PATH, "Bearer abc"), (PATH, "Bearer abc")]
            web.authorized.clear()
            fetch_instance(web.root + "/old" + PATH, READING)
            assert [sent for _, sent in web.authorized] == [None, None]

    def test_field_12_another_host_does_not_get_them(self, reading: Reading) -> None:
        with serving(Restarting()) as other, serving(SmallWeb()) as web:
            web.redirects = {PATH: other.root.replace("127.0.0.1", "localhost") + PATH}
            assert fetch_instance(web.root + PATH, reading) == b"DICM"
        assert (web.authorized, other.authorized) == ([(PATH, "Bearer abc")], [(PATH, None)])

    def test_field_12_no_netrc_replaces_them_where_reports_are_stored(self, reading: Reading) -> None:
        with serving(SmallWeb(kinds={"/studies": ("application/dicom+json", b"{}")})) as web:
            assert stow(web.root, [], reading.credentials) == []
            assert web.authorized == [("/studies", "Bearer abc")]


def test_credentials_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("me:secret\n")
    assert authorization(file) == {"Authorization": "Basic bWU6c2VjcmV0"}
    file.write_text("Bearer abc\n")
    assert authorization(file) == {"Authorization": "Bearer abc"}
    for text in ("secret", "me:secret\nyou:secret"):
        file.write_text(text)
        with pytest.raises(EnvironmentUnusable, match="one line"):
            authorization(file)
    with pytest.raises(EnvironmentUnusable, match="cannot be read"):
        authorization(tmp_path / "absent")
    assert authorization(None) == {}

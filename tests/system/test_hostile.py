"""Hostile texts in fields of commands, files and requests: no SQL, no path, no line and no terminal obeys.

Small files that would take much are in tests/imaging/test_hostile_files.py, what a DICOMweb server answers in
tests/dicom/test_hostile_server.py, associations in tests/dicom/test_negotiation.py, restored backups in tests/backup.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from answering import Made
from conftest import Run
from data_sets import made, written
from databases import Server, database_of
from entering import serving

from radretrieval.archive.connections import Database
from radretrieval.config import Settings

SQL = "'; DROP TABLE radretrieval.image CASCADE; --"
PLAIN = SQL + '" OR 1=1 -- $$;%s%(id)s{0}{image}\\ ../../../../etc/passwd'
ACTING = "\x1b[2J\x9b\u202egnp"
TEXTS = (SQL, PLAIN, "../../../../etc/passwd", ACTING)
# Every option and argument that takes text and reaches the database, `{}` for the text.
COMMANDS = (
    ("search", "{}"),
    ("search", "id:{}"),
    ("search", "sop:{}"),
    *(
        ("search", "id:1", "--where", f"{name}{{}}")
        for name in ("modality=", "study_date>=", "irma_code~", "", "rows=")
    ),
    ("search", "id:1", "--where", "{}=1"),
    ("search", "id:1", "--one-per", "{}"),
    ("search", "id:1", "--roi", "{}"),
    *(("search", "id:1", "--where", f"{name}{ACTING}") for name in ("modality=", "", "rows=")),
    ("ingest", "a.png", "--split", "{}"),
    ("ingest", "a.png", "--issuer", "{}"),
    ("ingest", "a.png", "--labels", "{}"),
    ("train", "--split", "{}"),
    ("train", "--profile", "{}"),
    ("train", "--weights", "{}"),
    ("evaluate", "--split", "{}"),
    ("forget", "--patient", "{}"),
    ("forget", "--study", "{}"),
    ("forget", "--patient", "nobody", "--reason", "{}"),
    ("withdraw", "--patient", "{}"),
    ("withdraw", "--study", "{}"),
    ("withdraw", "--patient", "nobody", "--reason", "{}"),
    ("patient-key", "of", "{}"),
    ("audit", "list", "--who", "{}"),
    ("audit", "list", "--action", "{}"),
    ("audit", "list", "--since", "{}"),
    ("export", "out", "--where", "modality={}"),
    ("index", "build", "--kind", "{}"),
    ("encoder", "import", "{}"),
    ("encoder", "export", "{}"),
    ("pull", "{}"),
    ("pull", "http://127.0.0.1:9/", "--query", "PatientID={}"),
    ("restore", "{}"),
    ("backup", "out", "--keys", "{}"),
    ("users", "add", "{}"),
    ("--database-url", "postgresql://127.0.0.1:9/{}", "status"),
)


@pytest.fixture(scope="module")
def hostile_url(server: Server, answers: Made) -> Iterator[str]:
    """An archive of ten images, with codes, that all of these tests attack."""
    with server.database(template=database_of(answers.url)) as url:
        yield url


@pytest.fixture(autouse=True)
def _whole(hostile_url: str) -> Iterator[None]:
    """After each test the tables and images of before are there."""
    before = _contents(hostile_url)
    yield
    after = _contents(hostile_url)
    assert after[0] >= before[0]  # a month of the audit may have begun
    assert after[1] >= before[1] >= 10


def _contents(url: str) -> tuple[int, int]:
    with Database(url).connection() as connection:
        tables = (
            "SELECT count(*) AS n FROM pg_class c WHERE c.relnamespace = 'radretrieval'::regnamespace AND relkind = 'r'"
        )
        found = [connection.execute(one).fetchone() for one in (tables, "SELECT count(*) AS n FROM image")]
        return int(found[0]["n"]), int(found[1]["n"])  # type: ignore[index]


def plain(done: Run) -> None:
    """It ended as the contract says, and printed nothing that acts on a terminal."""
    assert done.returncode in (0, 1, 2, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert "fault of radretrieval" not in done.stderr, done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_text_of_a_command_is_obeyed(
    inside: Callable[..., Run], hostile_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    plain(inside(*(one.replace("{}", PLAIN) for one in command), url=hostile_url, check=False))
    assert not {path.name for path in tmp_path.iterdir()} - {"a.png", "home", "out"}


def film(number: int, text: bytes) -> bytes:
    """A DICOM file in whose header a text stands wherever there is room for one, whatever the standard says of it."""
    values = np.random.default_rng(number).integers(0, 4096, (40, 30), np.uint16)
    fields = ("Manufacturer", "BodyPartExamined", "ViewPosition", "PatientID", "IssuerOfPatientID")
    room = {name: f"{place}".ljust(len(text) + len(text) % 2, "~") for place, name in enumerate(fields)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are no values of their kind
        data = written(made(values, SOPInstanceUID=f"1.2.{number}", SpecificCharacterSet="ISO_IR 192", **room))
    for value in room.values():
        data = data.replace(value.encode(), text.ljust(len(value)))
    return data


def test_headers_and_labels_are_data(inside: Callable[..., Run], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    texts = [*(text.encode() for text in TEXTS), b"=cmd|' /C calc'!A0", b"x" * 60_000, b"a\0b", b"\xff\xfe\xed\xa0\x80"]
    for number, text in enumerate(texts):
        (folder / f"{number}.dcm").write_bytes(film(number, text))
    (folder / "=1+1\x1b[2J.dcm").write_bytes(film(100, b"HAND"))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "split", "body_part", "irma_code", "\x1b[2J"))
        rows.writerows((f"{number}.dcm", SQL, SQL, SQL, SQL) for number in range(3))
        rows.writerows((name, "train", "", "", "") for name in ("../../../../etc/passwd", "/etc/passwd", "~/x", SQL))
    done = inside("ingest", folder, "--labels", folder / "labels.csv", "--json", check=False)
    plain(done)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert {failure["error"] for failure in report["failures"]} <= {"LabelsError", "ImageError"}, report["failures"]
    assert report["added"] >= 5, report
    for command in (("status",), ("export", tmp_path / "out", "--json"), ("metrics",)):
        plain(inside(*command, check=False))
    for file in (tmp_path / "out").rglob("*.csv"):
        cells = [cell for row in csv.reader(file.read_text(encoding="utf-8").splitlines()) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "\t", "\r"))]


@pytest.fixture
def client(hostile_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the service."""
    with serving(Settings(home=tmp_path / "home", database_url=hostile_url)) as serve:
        yield serve()


DEEP = b"[" * 200_000
ODD = ("%27;--", "%00", "%FF", "%1B%5B2J", "%E2%80%AE", "..%2f..%2fetc%2fpasswd", "%0d%0aSet-Cookie:%20a=b")
ASKED = ("/api/facets?where=modality%3D", "/api/images/1", "/api/codes?code=")
PROXY = ("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded", "X-Original-URL", "X-Rewrite-URL")
FILE_NAMES = (*TEXTS, "a\r\nSet-Cookie: a=b", '"\r\n\r\n')


def _json(body: bytes) -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": "application/json"}}


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    *(("get", url + text, {}) for text in ODD for url in ASKED),
    *(("get", f"/api/classes/{text}/images", {}) for text in ODD),
    *(("get", f"/login?next={text}", {}) for text in (*ODD, "//evil.example", "https:evil.example")),
    ("get", "/api/images/" + "9" * 5000, {}),
    *(("post", "/api/search", {"data": {"sop": text}}) for text in (*TEXTS, "\0", "x" * 100_000)),
    *(("post", "/api/search", {"data": {"id": 1, "where": f"modality={text}"}}) for text in (*TEXTS, "\0")),
    *(("post", f"/api/{path}", _json(DEEP))
      for path in ("feedback", "labels/reports", "search")),
    *(("post", f"/api/{path}", _json(b'{"image": ' + b"9" * 5000 + b"}"))
      for path in ("feedback", "labels/reports")),
    *(("post", "/api/labels/reports", {"json": {"image": 1, "remark": text}}) for text in (*TEXTS, "\0")),
    ("post", "/api/labels/reports", _json(b'{"image": 1, "remark": "\\ud800"}')),
    *(("post", "/api/search", {"files": {"file": (name, b"no image")}}) for name in FILE_NAMES),
    *(("get", "/", {"headers": {name: "evil.example"}}) for name in PROXY),
]  # fmt: skip


def test_no_text_of_a_request_is_obeyed(client: httpx.Client) -> None:
    for method, url, request in REQUESTS:
        answer = client.request(method, url, **request)
        case = (method, url[:80], str(request)[:80], answer.status_code, answer.text[:200])
        assert answer.status_code < 500, case
        assert "evil.example" not in answer.text, case
        for name, value in answer.headers.items():
            assert (name + value).isprintable(), case
            assert "evil.example" not in value, case
        assert "a" not in answer.cookies, case
        if answer.status_code >= 400:
            assert answer.json()["detail"].replace("\n", "").isprintable(), case

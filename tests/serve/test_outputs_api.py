"""What an answer becomes over HTTP is what the command line makes of it; reports reach a DICOM node."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import clean_environment
from databases import Server
from inside import Run, run_inside
from PIL import Image
from serving import SC, Films, Served, node, serving

from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.errors import UsageError
from radretrieval.serve.service import Service

ROI = "60,70,90,80"


@pytest.fixture
def command(served: Served, tmp_path: Path) -> Callable[..., Run]:
    def run(*arguments: object) -> Run:
        environment = clean_environment(served.films.home, served.database_url)
        return run_inside(["search", *arguments, "--device", "cpu"], environment, tmp_path)

    return run


def made(served: Served, kind: str, path: Path, **fields: Any) -> bytes:
    with served.client() as client:
        answer = client.post(f"/api/outputs/{kind}", data=fields, files={"file": (path.name, path.read_bytes())})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{kind}.')
    return answer.content


def test_files_are_those_of_the_command_line(served: Served, command: Callable[..., Run], tmp_path: Path) -> None:
    film = served.films.new[0]
    command(film, "--roi", ROI, "--csv", "a.csv", "--fhir", "a.json", "--picture", "a.png", "--sr", "a.dcm")
    rows, ours = ((tmp_path / "a.csv").read_text(), made(served, "csv", film, roi=ROI).decode())
    expected, found = (list(csv.DictReader(io.StringIO(text))) for text in (rows, ours))
    for row in expected:
        assert row.pop("query") == str(film)
    for row in found:
        assert row.pop("query") == "new-0.dcm"
    assert found == expected
    picture = np.asarray(Image.open(io.BytesIO(made(served, "picture", film, roi=ROI))))
    assert (picture == np.asarray(Image.open(tmp_path / "a.png"))).all()
    bundles = json.loads((tmp_path / "a.json").read_text()), json.loads(made(served, "fhir", film, roi=ROI))
    assert [len(bundle["entry"]) for bundle in bundles] == [len(bundles[0]["entry"])] * 2
    reports = pydicom.dcmread(tmp_path / "a.dcm"), pydicom.dcmread(io.BytesIO(made(served, "sr", film, roi=ROI)))
    assert reports[0].SOPClassUID == reports[1].SOPClassUID
    assert reports[0].StudyInstanceUID == reports[1].StudyInstanceUID
    assert len(reports[0].ContentSequence) == len(reports[1].ContentSequence)
    capture = pydicom.dcmread(io.BytesIO(made(served, "sc", film)))
    assert (capture.SOPClassUID, capture.PatientID) == (SC, reports[0].PatientID)


def test_a_picture_that_is_no_dicom_has_no_report(served: Served) -> None:
    picture = served.films.picture
    with served.client() as client:
        answer = client.post("/api/outputs/sr", files={"file": (picture.name, picture.read_bytes())})
        sent = client.post("/api/send", data={"id": 1})
    assert (answer.status_code, sent.status_code) == (400, 400)
    assert "sr: new.png is no DICOM file" in answer.json()["detail"]
    assert "RADRETRIEVAL_SERVE_STORE_TO" in sent.json()["detail"]


def test_a_report_is_sent_and_a_film_is_kept(server: Server, films: Films) -> None:
    """One server with settings of its own: a report to its node, a film into the archive, `status`."""
    film = films.new[1]
    with (
        node() as (address, stored),
        films.copy(server) as url,
        serving(films, url, RADRETRIEVAL_SERVE_STORE_TO=address, RADRETRIEVAL_STORE=str(films.folder / "kept")) as one,
        one.client() as client,
    ):
        assert client.get("/api/session").json()["send_to"] == [address]
        fields = {"roi": ROI, "what": ["sr", "sc"], "to": address}
        answer = client.post("/api/send", data=fields, files={"file": (film.name, film.read_bytes())})
        assert answer.json()["said"] == [f"{address} has stored the report and the secondary capture"]
        [remark] = answer.json()["remarks"]
        assert "(image 30) is no DICOM object" in remark
        assert [one.Modality for one in stored] == ["SR", "OT"]
        assert {one.PatientID for one in stored} == {pydicom.dcmread(film).PatientID}
        refused = client.post("/api/send", data={"id": 1, "to": "other"})
        assert (refused.status_code, refused.json()["detail"]) == (400, f"to other: it is one of: {address}")

        before = client.get("/api/status").json()
        token = client.post("/api/search", files={"file": (film.name, film.read_bytes())}).json()["query"]["upload"]
        kept = client.post(f"/api/queries/{token}/keep").json()["image_id"]
        after = client.get("/api/status").json()
        assert (before["images"], after["images"], after["pending"], after["arrived"]) == (30, 31, 1, 0)
        assert client.post(f"/api/queries/{token}/keep").json()["image_id"] == kept
        row = client.get(f"/api/images/{kept}").json()
        assert row["uri"].startswith("store:")
        assert row["film"]["columns"] == 280
        with Database(url).connection() as connection:
            rows = connection.execute("SELECT action, detail FROM audit ORDER BY id").fetchall()
    assert [row["action"] for row in rows] == ["send", "send", "search", "keep", "keep"]
    assert rows[0]["detail"] == rows[1]["detail"] | {"begun": True}  # before anything has left
    assert rows[1]["detail"]["to"] == [address]


@pytest.mark.parametrize("setting", [{"store_to": "nobody"}, {"stow": "ftp://x"}])
def test_a_peer_that_is_none_is_told_at_the_start(settings: Settings, setting: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="RADRETRIEVAL_SERVE_ST"):
        Service(settings, ServeSettings(**setting))  # type: ignore[arg-type]

"""docs/api.md names every route, and what it shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from api_reference import PAGE, real
from databases import Server
from generated import written
from programs import needs_program
from serving import Films, node, serving

TEXT = PAGE.read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def test_the_routes_are_those_of_the_application() -> None:
    assert written(TEXT) == real(), "the routes changed: run python packaging/api_reference.py --write"


def test_what_the_page_shows_works(
    server: Server, films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_program("curl")
    shutil.copy(films.new[0], tmp_path / "new.dcm")
    store = str(tmp_path / "store")
    with (
        node() as (peer, stored),
        films.copy(server) as url,
        serving(films, url, RADRETRIEVAL_SERVE_STORE_TO=peer, RADRETRIEVAL_STORE=store) as served,
    ):
        lines = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)).replace(ADDRESS, served.url)
        told = lines.replace("curl ", "curl --fail-with-body -sS -w '\\n' ").replace(" -s ", " ")
        refused = "-F id=999999"
        script = "\n".join(f"{line} || [ {int(refused in line)} = 1 ]" for line in told.splitlines() if line)
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [python] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
        monkeypatch.chdir(tmp_path)
        exec(python.replace(ADDRESS, served.url), {})
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    [example] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert json.loads(example) in answers
    assert sum("hits" in answer for answer in answers) == 4
    assert [one.Modality for one in stored] == ["SR", "OT"]
    assert pydicom.dcmread(tmp_path / "report.dcm").Modality == "SR"
    assert {path.name for path in tmp_path.iterdir()} >= {"answer.png", "bundle.json", "seven.png"}

"""The wheel is complete: what runs from a checkout runs from an installed package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
MAIN = "import sys; sys.argv[0] = 'radretrieval'; from radretrieval.cli import main; main()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a source archive: so that one is complete too."""
    out = tmp_path_factory.mktemp("dist")
    # Without isolation: the build needs what the test extra brings, and no network.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    (built,) = out.glob("radretrieval-*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as database:
        return set(database.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is unpacked in, as pip would do it."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as database:
        database.extractall(folder)
    return folder


def run_installed(installed: Path, *arguments: str, url: str | None = None, code: str = MAIN) -> str:
    """What a Python prints that sees the unpacked wheel before the checkout that is installed editable."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
    environment |= {"PYTHONPATH": str(installed)} | ({"RADRETRIEVAL_DATABASE_URL": url} if url else {})
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_every_file_of_the_package_is_in_it(contents: set[str]) -> None:
    package = ROOT / "radretrieval"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in files} <= contents
    assert "radretrieval/irma/terms.csv" in contents
    assert "radretrieval/archive/queries.sql" in contents
    assert "radretrieval/archive/sql/functions/cnnc_nearest.sql" in contents


def test_the_migrations_are_in_it(contents: set[str]) -> None:
    for folder, inside in (("alembic", "_alembic"), ("migrations", "_migrations")):
        files = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".sql", ".mako")]
        assert files
        assert {f"radretrieval/{inside}/{path.relative_to(ROOT / folder)}" for path in files} <= contents


def test_nothing_else_is_in_it(contents: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in contents} == {"radretrieval"}
    assert not any("__pycache__" in name for name in contents)
    assert any(name.endswith("licenses/LICENSE") for name in contents)


def test_an_index_page_shows_no_link_that_leads_nowhere_there(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    head, _, page = metadata.read_text(encoding="utf-8").partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head
    assert page.startswith("# radretrieval\n")
    assert "make demo" in page
    assert "quickstart" in page
    assert [target for target in re.findall(r"\]\(([^)]*)\)", page) if "://" not in target] == []
    assert "What `make demo` writes" not in page, "the caption of a picture that is not there"


def test_the_unpacked_wheel_is_what_runs(installed: Path) -> None:
    told = run_installed(installed, code="import radretrieval; print(radretrieval.__file__)")
    assert Path(told.strip()).is_relative_to(installed)


CLIENT = """
from pathlib import Path

import radretrieval as rr
from numpy.typing import NDArray

with rr.open_archive("postgresql://user@host/radretrieval", home=Path("home")) as archive:
    report: rr.IngestReport = archive.ingest(["films"], labels="labels.csv")
    encoded: int = archive.encode(device="cpu").encoded
    answer = archive.search("new.dcm", top=10, where={"body_part": "CHEST"}, roi=(40, 120, 120, 110))
    best: rr.Hit = answer.hits[0]
    records = [record["image_id"] for record in answer.to_records()]
    rows = [row.rank for row in archive.search_many(["a.png", 7], top=3)]
    trained: rr.TrainReport = rr.train(archive, profile="paper", epochs=3)
    result: rr.Evaluation = rr.evaluate(archive, split="test")
try:
    film: rr.Radiograph = rr.read_image("film.png")
    codes = rr.radon_barcode(film.pixels[None])
    print(rr.hamming_distances(codes[0], codes), rr.irma_error("1121-120-942-700", "1121-127-700-500"))
except rr.RadretrievalError as error:
    print(error.exit_code)
"""


def checked(installed: Path, folder: Path, client: str) -> subprocess.CompletedProcess[str]:
    """What `mypy --strict` says to a program that uses the unpacked wheel."""
    (folder / "client.py").write_text(client)
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-torch.*]\nfollow_imports = skip\n")  # a minute of its own
    environment = os.environ | {"PYTHONPATH": str(installed), "MYPYPATH": ""}
    command = [sys.executable, "-m", "mypy", "--strict", "--verbose", "--cache-dir", str(folder / "cache"), "client.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_a_client_of_it_is_typed(installed: Path, contents: set[str], tmp_path: Path) -> None:
    assert "radretrieval/py.typed" in contents
    run = checked(installed, tmp_path, CLIENT)
    assert run.returncode == 0, run.stdout
    assert (
        f"{installed.name}/radretrieval/__init__.py (radretrieval)" in run.stderr
    )  # not the checkout that is installed editable
    wrong = checked(installed, tmp_path, CLIENT.replace("top=10", 'top="10"').replace("film.pixels", "film.pixel"))
    assert wrong.returncode == 1
    assert {'"search"', '"pixel"'} <= set(re.findall(r'"search"|"pixel"', wrong.stdout)), wrong.stdout


def test_an_installed_package_prints_its_migrations(installed: Path) -> None:
    told = run_installed(installed, "db", "upgrade", "--sql", "--from", "base")
    assert "CREATE TABLE radretrieval.image " in told
    assert "alembic_version" in told
    assert "CREATE OR REPLACE FUNCTION radretrieval.cnnc_nearest(" in told


def test_an_installed_package_migrates(installed: Path, empty_database_url: str) -> None:
    run_installed(installed, "db", "upgrade", url=empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM radretrieval.image").fetchone() == (0,)

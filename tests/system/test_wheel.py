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


def test_an_installed_package_prints_its_migrations(installed: Path) -> None:
    told = run_installed(installed, "db", "upgrade", "--sql", "--from", "base")
    assert "CREATE TABLE radretrieval.image " in told
    assert "alembic_version" in told
    assert "CREATE OR REPLACE FUNCTION radretrieval.cnnc_nearest(" in told


def test_an_installed_package_migrates(installed: Path, empty_database_url: str) -> None:
    run_installed(installed, "db", "upgrade", url=empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM radretrieval.image").fetchone() == (0,)

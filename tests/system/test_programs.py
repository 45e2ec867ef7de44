"""A program that is not installed skips a test, and fails it where it is required."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import programs
import pytest
from programs import PACKAGES, REQUIRE, lacking, needs_program, required

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "SBIN", "")
    monkeypatch.delenv(REQUIRE, raising=False)


def test_a_missing_program_skips() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"storescu is not installed \(Debian: dcmtk\)"):
        needs_program("storescu")


@pytest.mark.parametrize(("program", "name"), [("storescu", "dcmtk"), ("Orthanc", "orthanc"), ("dciodvfy", "dciodvfy")])
def test_a_missing_program_fails_where_it_is_required(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE, f"curl, {name}")
    with pytest.raises(pytest.fail.Exception, match=f"{program} is not installed .*{REQUIRE} names {name}"):
        needs_program(program)


def test_what_is_required_makes_no_other_program_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE, "orthanc")
    with pytest.raises(pytest.skip.Exception):
        needs_program("storescu")
    with pytest.raises(pytest.skip.Exception, match="no cable"):
        lacking("netns", "no cable")


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE, "dcmtk,othanc")
    with pytest.raises(ValueError, match="names othanc; known are dcmtk, "):
        required()


def test_ci_installs_what_it_can_require() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (listed,) = re.findall(r"^PACKAGES=\((.*)\)$", script, re.MULTILINE)
    wanted = {package for told in PACKAGES.values() for package in told.partition(";")[0].split()}
    assert wanted <= set(listed.split())
    assert set(re.findall(r"names\+=\((\w+)\)", script)) == PACKAGES.keys()


def test_no_test_looks_for_a_program_by_itself() -> None:
    sources = [path for path in (ROOT / "tests").rglob("*.py") if path.name not in ("programs.py", "test_programs.py")]
    assert [str(path) for path in sources if "shutil.which(" in path.read_text()] == []


def test_the_script_of_ci_is_a_script() -> None:
    done = subprocess.run(["/bin/bash", "-n", str(ROOT / ".ci" / "run")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

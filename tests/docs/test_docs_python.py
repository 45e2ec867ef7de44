"""The examples of docs/python.md run, one after the other; its tables name what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from tiny import TINY

import radretrieval as rr

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run(
    tmp_path: Path, archive_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RADRETRIEVAL_DATABASE_URL", archive_url)
    monkeypatch.setenv("RADRETRIEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("radretrieval.profile.PROFILES", {"paper": TINY})
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    told = capsys.readouterr().out
    assert "24 images, 0 failed" in told
    assert "24 codes" in told
    assert "24 of 24 queries answered" in told
    assert (tmp_path / "answer.png").stat().st_size > 0
    assert (tmp_path / "hits.csv").read_text().count("\n") == 11


def documented(table: str) -> dict[str, list[str]]:
    """The names in the first column of a table of the page, with their parameters as far as they are given."""
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    found = re.findall(r"`(\w+)(?:\(([^`]*)\))?`", " ".join(rows))
    return {name: re.findall(r"\w+", parameters) for name, parameters in found}


def test_the_tables_name_what_there_is() -> None:
    functions, methods = map(documented, PAGE.split("## Methods of an archive"))
    for name, parameters in functions.items():
        # of a method the archive is the first argument
        assert set(parameters) - {"archive"} <= set(inspect.signature(getattr(rr, name)).parameters), name
    for name, parameters in methods.items():
        found = getattr(rr.Archive, name)
        assert not parameters or set(parameters) <= set(inspect.signature(found).parameters), name
    public = {name for name in dir(rr.Archive) if not name.startswith("_")}
    assert public - methods.keys() == {"close", "open"}

"""The wrong lines of benchmarks/mutate.py fit the code as it is: one that does not would stop `make mutate`."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_edit_has_its_place_and_its_tests() -> None:
    edits = runpy.run_path(str(ROOT / "benchmarks" / "_mutate_edits.py"))["EDITS"]
    assert len(edits) > 30
    for edit in edits:
        text = (ROOT / "radretrieval" / edit.module).read_text(encoding="utf-8")
        assert text.count(edit.right) == 1, f"{edit.what}: {edit.module} has not once: {edit.right}"
        assert edit.wrong != edit.right
        for word in edit.tests.split():
            assert not word.startswith("tests/") or (ROOT / word).exists(), f"{edit.what}: {word}"

"""What the benchmarks import of radretrieval is there: nobody runs them all after a module was renamed."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_what_is_imported_of_radretrieval_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "radretrieval":
            module = importlib.import_module(node.module or "")
            for name in node.names:
                there = hasattr(module, name.name) or find_spec(f"{node.module}.{name.name}") is not None
                assert there, f"{node.module} has no {name.name}"

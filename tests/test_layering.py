"""The floors of DESIGN.md hold: who may import whom, who may speak SQL, and how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "radretrieval"
LONGEST = 330

# A room may use what lies below it. A new room needs a place in DESIGN.md, and here.
FLOORS = [
    {"errors"},
    {"profile", "config", "uris", "walk", "problems", "durable"},
    {"archive", "coding", "imaging", "irma", "phantom", "labels", "release", "pseudonym"},
    {"retrieval", "accounts", "examine"},
    {"intake", "verify"},
    {"ingest", "train", "worker", "evaluation", "health", "report", "demo", "dicom", "watch", "rotation"},
    {"cli"},
    {"__main__"},
]

# On one floor, only these: room → the modules of its neighbours that it may use.
NEIGHBOURS = {
    # the words of the codes fill irma_term; an exact index is made of anchors
    "archive": {"radretrieval.irma", "radretrieval.coding.anchors"},
    "coding": {"radretrieval.imaging.resample"},
    "labels": {"radretrieval.irma"},  # a label is checked when it is read
    "release": {"radretrieval.irma", "radretrieval.labels"},  # a release is a set of labels
    "phantom": {"radretrieval.irma"},  # a phantom is of a class
    "report": {"radretrieval.evaluation", "radretrieval.health"},  # it shows what they found
    "watch": {"radretrieval.ingest"},
    # the demo is the tour through its neighbours
    "demo": {f"radretrieval.{name}" for name in ("ingest", "train", "worker", "evaluation", "report")},
}

DATABASE = {"sqlalchemy", "psycopg", "pgvector", "alembic"}
FORBIDDEN = {
    "archive": {"torch"},
    "cli": {"torch", *DATABASE},
    "coding": DATABASE,
    "imaging": {"torch", *DATABASE},
    "irma": {"torch", *DATABASE},
    "phantom": {"torch", *DATABASE},
    "report": {"torch", *DATABASE},
}

# Upper case, as this project writes SQL: "select … from" is English too.
SQL = re.compile(
    r"\bSELECT\b.+\bFROM\b|\bINSERT\s+INTO\b|\bDELETE\s+FROM\b|\bUPDATE\s+\w+\s+SET\b|\bCOPY\s+\w+\s*(\(|FROM|TO)"
    r"|\b(CREATE|ALTER|DROP)\s+(TABLE|INDEX|VIEW|DATABASE|EXTENSION|FUNCTION|ROLE)\b|\bFOR\s+UPDATE\b|\bLISTEN\s+\w",
    re.DOTALL,
)


def room_of(module: str) -> str:
    """`radretrieval.archive.engine` → `archive`."""
    return module.split(".")[1]


def floor_of(room: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{room} has no floor: give it one in DESIGN.md and in tests/test_layering.py"
    return found[0]


def modules() -> dict[str, Path]:
    """Every module below a room, by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != "radretrieval":
            found[name] = path
    return found


def imports(module: str, source: str, is_package: bool) -> Iterator[str]:
    """The dotted names that a source imports anywhere, also inside functions.

    `from radretrieval.imaging import resample` gives `radretrieval.imaging.resample`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + (1 if is_package else 0)]
                base = ".".join([*parents, base] if base else parents)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """What a module imports against the rules, in words."""
    room = room_of(module)
    found = []
    for name in imports(module, source, is_package):
        if name.split(".")[0] in FORBIDDEN.get(room, ()):
            found.append(f"{module} imports {name}: {room} knows no {name.split('.')[0]}")
        # `from radretrieval import __version__` is no room
        if not name.startswith("radretrieval.") or not is_room(room_of(name)) or room_of(name) == room:
            continue
        other = room_of(name)
        allowed = NEIGHBOURS.get(room, set())
        if floor_of(other) > floor_of(room):
            found.append(f"{module} imports {name}: {other} lies above {room}")
        elif floor_of(other) == floor_of(room) and not any(
            name == one or name.startswith(f"{one}.") for one in allowed
        ):
            found.append(f"{module} imports {name}: {other} and {room} are neighbours")
    return found


def is_room(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def strings(source: str) -> Iterator[str]:
    """The string literals of a source, without its docstrings; `{}` stands for each value of an f-string."""
    tree = ast.parse(source)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_every_room_has_one_floor() -> None:
    for module in modules():
        floor_of(room_of(module))
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS))


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module: str) -> None:
    path = modules()[module]
    assert violations(module, path.read_text(), path.name == "__init__.py") == []


@pytest.mark.parametrize("module", modules())
def test_only_the_archive_speaks_sql(module: str) -> None:
    if room_of(module) != "archive":
        spoken = [text for text in strings(modules()[module].read_text()) if SQL.search(text)]
        assert spoken == [], f"{module} speaks SQL; its place is radretrieval/archive/"


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("radretrieval", "alembic", "migrations", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := path.read_text().count("\n")) > LONGEST
    }
    assert long == {}, f"more than {LONGEST} lines: each is asking to be two"


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("radretrieval.archive.images", "import radretrieval.ingest", "above"),
        ("radretrieval.archive.images", "def f():\n    import torch", "knows no torch"),
        ("radretrieval.coding.cnnc", "from ..archive import codes", "neighbours"),
        ("radretrieval.coding.cnnc", "from radretrieval.imaging import reader", "neighbours"),
        ("radretrieval.coding.cnnc", "from psycopg.types import json", "knows no psycopg"),
        ("radretrieval.ingest", "from radretrieval import worker", "neighbours"),
        ("radretrieval.cli.search", "import sqlalchemy as sa", "knows no sqlalchemy"),
    ],
)
def test_a_breach_is_seen(module: str, source: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "is_room", lambda name: any(name in rooms for rooms in FLOORS))
    (breach,) = violations(module, source)
    assert reason in breach


def test_what_is_allowed_is_allowed() -> None:
    assert violations("radretrieval.coding.radon", "from radretrieval.imaging.resample import resized") == []
    assert violations("radretrieval.archive.terms", "from radretrieval.irma import tree") == []
    assert violations("radretrieval.cli", "from radretrieval import __version__, errors", True) == []


def test_sql_is_seen_and_english_is_not() -> None:
    source = 'def f(n):\n    """SELECT 1 FROM docs"""\n    return f"SELECT {n} FROM t"'
    assert [text for text in strings(source) if SQL.search(text)] == ["SELECT {} FROM t"]
    assert SQL.search("COPY cnnc (encoder_id) FROM STDIN")
    assert not SQL.search("copy the file, select it from the list and insert it into the archive")


def test_the_command_line_imports_lightly() -> None:
    heavy = {"torch", "skimage", "scipy", "numpy", "pydicom", "PIL", "imagecodecs", "tifffile", "safetensors"}
    code = "import sys, radretrieval.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert heavy & set(loaded.stdout.split()) == set()
    assert DATABASE & set(loaded.stdout.split()) == set()

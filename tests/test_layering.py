"""The floors of docs/architecture.md hold: who may import whom, where SQL stands, how long files and functions are."""

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
LONGEST_FILE = 330
LONGEST_FUNCTION = 40  # lines of its body, without the docstring
# What takes more takes a dataclass; the options of a command, and the keywords of the API, are their contract.
MOST_PARAMETERS = 8

# A package may use those of the floors below it, and no other. A new package needs a place here and in
# docs/architecture.md; a new module in a package needs none.
FLOORS = [
    {"errors"},
    {"metrics"},
    {"config", "profile", "files"},
    {"logs"},
    {"irma", "imaging"},
    {"coding", "storage", "phantom"},
    {"archive"},
    {"privacy"},
    {"ingest", "export"},
    {"search", "jobs", "dicom", "backup"},
    {"evaluation"},
    {"report"},
    {"results"},
    {"api"},
    {"demo"},
    {"serve"},
    {"cli"},
    {"__main__"},
]

DATABASE = {"sqlalchemy", "psycopg", "pgvector", "alembic"}
FORBIDDEN = {
    "api": {"torch", *DATABASE},
    "archive": {"torch"},
    "backup": {"torch"},
    "cli": {"torch", *DATABASE},
    "coding": DATABASE,
    "files": {"torch", *DATABASE},
    "imaging": {"torch", *DATABASE},
    "irma": {"torch", *DATABASE},
    "phantom": {"torch", *DATABASE},
    "report": {"torch", *DATABASE},
    "results": {"torch", *DATABASE},
    "storage": {"torch", *DATABASE},
}

# The command line is a client of the API: what it uses beside that, to show results and to make examples.
CLI_USES = {
    "api",
    "cli",
    "config",
    "demo",
    "errors",
    "files",
    "logs",
    "metrics",
    "phantom",
    "report",
    "results",
    "serve",
}

# Upper case, as this project writes SQL: "select … from" is English too.
SQL = re.compile(
    r"\bSELECT\b.+\bFROM\b|\bINSERT\s+INTO\b|\bDELETE\s+FROM\b|\bUPDATE\s+\w+\s+SET\b|\bCOPY\s+\w+\s*(\(|FROM|TO)"
    r"|\b(CREATE|ALTER|DROP)\s+(TABLE|INDEX|VIEW|DATABASE|EXTENSION|FUNCTION|ROLE)\b|\bFOR\s+UPDATE\b|\bLISTEN\s+\w",
    re.DOTALL,
)


def package_of(module: str) -> str:
    """`radretrieval.archive.connections` → `archive`."""
    return module.split(".")[1]


def floor_of(package: str) -> int:
    found = [number for number, packages in enumerate(FLOORS) if package in packages]
    assert found, f"{package} has no floor: give it one in docs/architecture.md and in tests/test_layering.py"
    return found[0]


def modules() -> dict[str, Path]:
    """Every module of a package, by its dotted name."""
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
    package = package_of(module)
    found = []
    for name in imports(module, source, is_package):
        if name.split(".")[0] in FORBIDDEN.get(package, ()):
            found.append(f"{module} imports {name}: {package} knows no {name.split('.')[0]}")
        last = name.rpartition(".")[2]
        if name.startswith("radretrieval.") and last.startswith("_") and not last.startswith("__"):
            found.append(f"{module} imports {name}: it is private")
        # `from radretrieval import __version__` is no package
        if not name.startswith("radretrieval.") or not is_package_of_ours(package_of(name)):
            continue
        other = package_of(name)
        if other != package and floor_of(other) >= floor_of(package):
            found.append(f"{module} imports {name}: {other} does not lie below {package}")
        if package == "cli" and other not in CLI_USES:
            found.append(f"{module} imports {name}: commands use radretrieval.api")
    return found


def is_package_of_ours(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def circles() -> list[set[str]]:
    """Modules that import each other, directly or by way of others, wherever in a file the import stands."""
    known = modules()
    arrows: dict[str, set[str]] = {}
    for module, path in known.items():
        names = imports(module, path.read_text(), path.name == "__init__.py")
        found = {name if name in known else name.rpartition(".")[0] for name in names}
        arrows[module] = found & known.keys() - {module}
    reached = {module: set(found) for module, found in arrows.items()}
    for middle in known:
        for module in known:
            if middle in reached[module]:
                reached[module] |= reached[middle]
    return [{a, b} for a in known for b in reached[a] if a < b and a in reached[b]]


def functions(source: str) -> Iterator[tuple[str, int, int]]:
    """Name, lines of the body without its docstring, and number of parameters of each function of a source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            given = node.args
            parameters = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([name for name in parameters if name not in ("self", "cls")])
            yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0, count


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


def test_every_package_has_one_floor() -> None:
    for module in modules():
        floor_of(package_of(module))
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS))


def test_few_modules_lie_loose() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "__main__", "config", "demo", "errors", "logs", "metrics", "profile"}


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module: str) -> None:
    path = modules()[module]
    assert violations(module, path.read_text(), path.name == "__init__.py") == []


def test_no_modules_import_each_other() -> None:
    assert circles() == []


@pytest.mark.parametrize("module", modules())
def test_only_the_archive_speaks_sql(module: str) -> None:
    if package_of(module) != "archive":
        spoken = [text for text in strings(modules()[module].read_text()) if SQL.search(text)]
        assert spoken == [], f"{module} speaks SQL; its place is radretrieval/archive/"


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("radretrieval", "alembic", "migrations", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := path.read_text().count("\n")) > LONGEST_FILE
    }
    assert long == {}, f"more than {LONGEST_FILE} lines: each is asking to be two"


@pytest.mark.parametrize("module", modules())
def test_no_function_is_too_long_or_takes_too_much(module: str) -> None:
    found = list(functions(modules()[module].read_text()))
    assert [name for name, lines, _ in found if lines > LONGEST_FUNCTION] == []
    if package_of(module) not in ("api", "cli"):
        assert [name for name, _, parameters in found if parameters > MOST_PARAMETERS] == []


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("radretrieval.archive.images", "import radretrieval.ingest", "not lie below"),
        ("radretrieval.archive.images", "def f():\n    import torch", "knows no torch"),
        ("radretrieval.coding.cnnc", "from ..archive import codes", "not lie below"),
        ("radretrieval.coding.cnnc", "from radretrieval.storage import source", "not lie below"),
        ("radretrieval.coding.cnnc", "from psycopg.types import json", "knows no psycopg"),
        ("radretrieval.coding.cnnc", "from radretrieval.imaging.grey import _voi", "private"),
        ("radretrieval.ingest.run", "from radretrieval.jobs import encode", "not lie below"),
        ("radretrieval.cli.search", "import sqlalchemy as sa", "knows no sqlalchemy"),
        ("radretrieval.cli.search", "from radretrieval.search.searcher import Searcher", "commands use"),
        ("radretrieval.results.rows", "from radretrieval.api.base import Progress", "not lie below"),
    ],
)
def test_a_breach_is_seen(module: str, source: str, reason: str) -> None:
    (breach,) = violations(module, source)
    assert reason in breach


def test_what_is_allowed_is_allowed() -> None:
    assert violations("radretrieval.coding.radon", "from radretrieval.imaging.resample import resized") == []
    assert violations("radretrieval.archive.terms", "from radretrieval.irma import tree") == []
    assert violations("radretrieval.cli", "from radretrieval import __version__, errors", True) == []


def test_a_function_is_measured_without_its_docstring() -> None:
    source = 'def f(self, a, *, b=1):\n    """One.\n\n    Two.\n    """\n    a += b\n    return (\n        a\n    )\n'
    assert list(functions(source)) == [("f", 4, 2)]


def test_sql_is_seen_and_english_is_not() -> None:
    source = 'def f(n):\n    """SELECT 1 FROM docs"""\n    return f"SELECT {n} FROM t"'
    assert [text for text in strings(source) if SQL.search(text)] == ["SELECT {} FROM t"]
    assert SQL.search("COPY cnnc (encoder_id) FROM STDIN")
    assert not SQL.search("copy the file, select it from the list and insert it into the archive")


def test_the_command_line_imports_lightly() -> None:
    heavy = {"torch", "skimage", "scipy", "numpy", "pydicom", "PIL", "imagecodecs", "tifffile", "safetensors"}
    assert (heavy | DATABASE) & loaded("radretrieval.cli") == set()


def test_a_decoding_process_imports_no_settings() -> None:
    """Each cold search and each bad file starts one: the settings would take as long as all the rest."""
    heavy = {"torch", "skimage", "scipy", "pydantic", "pydantic_settings", "asyncio"}
    assert (heavy | DATABASE) & loaded("radretrieval.storage.prepare, radretrieval.storage.worker_process") == set()


def loaded(modules: str) -> set[str]:
    """What a process has imported once it has imported these."""
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_page_on_architecture_shows_these_floors() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = page.partition("```text\n")[2].partition("```")[0].splitlines()
    assert [set(line[:26].split()) for line in lines][::-1] == FLOORS

"""Commands that answer at once import nothing that takes its time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "PIL",
    "alembic",
    "imagecodecs",
    "numpy",
    "psycopg",
    "pydicom",
    "safetensors",
    "scipy",
    "skimage",
    "sqlalchemy",
    "tifffile",
    "torch",
}


def imported(*arguments: str) -> set[str]:
    """The modules in memory when `radretrieval ARGUMENTS` ends with exit code 0."""
    code = """
import sys
from radretrieval.cli import main
sys.argv[0] = "radretrieval"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules, file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


@pytest.mark.parametrize("arguments", ["--help", "search --help", "db --help", "train --help", "work --help"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    loaded = imported(*arguments.split())
    assert "radretrieval.cli" in loaded
    assert HEAVY & loaded == set()


def test_the_version_needs_no_command() -> None:
    import radretrieval

    command = [sys.executable, "-m", "radretrieval", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{radretrieval.__version__}\n"


def test_an_interrupted_command_says_what_stays() -> None:
    program = """
import sys
from radretrieval.cli import app, main

@app.command()
def stopped() -> None:
    raise KeyboardInterrupt

sys.argv = ["radretrieval", "stopped"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; what was committed stays, run the command again to go on\n"

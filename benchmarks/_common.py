"""What the benchmarks share: where the data is, an archive for the time of a run, the facts of the machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from radretrieval.archive.connections import Database
from radretrieval.archive.embedded import shared_server
from radretrieval.archive.opening import open_database
from radretrieval.config import Settings

RADIOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "radiographs"
SKIPPED = 77  # exit code of a benchmark whose data is not there, as Automake has it


def skip(what: str) -> None:
    """End the benchmark: what it needs is not there."""
    print(f"skipped: {what}", file=sys.stderr)
    sys.exit(SKIPPED)


@contextmanager
def database(home: Path | None = None) -> Iterator[tuple[Database, Settings]]:
    """An archive on an embedded server of its own, in `home` or, for this run only, in a temporary folder."""
    # not a subfolder of the working tree: as root the server runs as another user, who must be able to enter
    folder = home.absolute() if home else Path(tempfile.mkdtemp(prefix="rr-bench-"))
    try:
        if home is None:
            folder.chmod(0o755)
        settings = Settings(database_url=None, home=folder)
        yield open_database(settings), settings
    finally:
        shared_server.release(folder)
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)


def command(*arguments: str) -> list[str]:
    """The command line as people run it: the installed script, beside this Python."""
    script = Path(sys.executable).with_name("radretrieval")
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "radretrieval", *arguments]


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which the command line uses this archive."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RADRETRIEVAL_")}
    return {**others, "RADRETRIEVAL_HOME": str(settings.home)}


def told(settings: Settings, *words: str) -> str:
    """What a command prints for people; one that fails ends the benchmark."""
    print(f"radretrieval {words[0]}", file=sys.stderr)
    done = subprocess.run(command(*words), env=environment(settings), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"radretrieval {' '.join(words)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def radretrieval(settings: Settings, *words: str) -> dict[str, Any]:
    """What a command answers with --json."""
    document: dict[str, Any] = json.loads(told(settings, *words, "--json"))
    return document


def machine(*packages: str) -> str:
    """Cores, system and versions, in one line; nothing that names the machine."""
    versions = [f"{name} {version(name)}" for name in packages]
    system = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return ", ".join([system, f"Python {platform.python_version()}", *versions])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    for row in [head, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())

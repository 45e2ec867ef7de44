"""The commands of the command line, by name: tests that have to cover each compare their lists with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from radretrieval.cli.app import app


def command_names(command: Any = None, name: str = "") -> Iterator[str]:
    """Each command, as `index build`."""
    command = command or get_command(app)
    for one, below in getattr(command, "commands", {}).items():
        yield from command_names(below, f"{name} {one}".strip())
    if not hasattr(command, "commands"):
        yield name

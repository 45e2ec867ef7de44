"""The reference of the command line in docs/cli.md, made from the real commands.

python packaging/cli_reference.py            prints it
python packaging/cli_reference.py --write    puts it between the markers of docs/cli.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generated import main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

# Commands and parameters are click's; Typer brings a copy of click, so its classes are not named here.
Command = Any
Context = Any


def commands(context: Context) -> Iterator[Context]:
    """A context for every command, depth first, in the order of the help, without the hidden ones."""
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from commands(inner)
        else:
            yield inner


def table(context: Context) -> list[str]:
    """The command's arguments and options as a Markdown table; nothing where there are none."""
    records = (parameter.get_help_record(context) for parameter in context.command.params)
    # A hidden option has no record.
    rows = [f"| `{cell(names)}` | {cell(text)} |" for names, text in filter(None, records)]
    return ["| | |", "| --- | --- |", *rows, ""] if rows else []


def cell(text: str) -> str:
    """One line that ends no column."""
    return " ".join(text.split()).replace("|", "\\|")


def text_of(command: Command) -> str:
    """The help text as paragraphs."""
    return inspect.cleandoc((command.help or "").partition("\f")[0]).strip()


def reference(app: Command) -> str:
    """The whole reference as Markdown, without the markers.

    Parameters
    ----------
    app : the root click command (`typer.main.get_command(app)`).
    """
    # The context class is that of the click that made the command.
    root = app.context_class(app, info_name="radretrieval")
    lines = ["## Options of every command", "", "They stand before the command's name.", "", *table(root)]
    for context in commands(root):
        usage = " ".join(context.command.collect_usage_pieces(context))
        lines += [f"## `{context.command_path}`", "", text_of(context.command), ""]
        lines += ["```", f"{context.command_path} {usage}".rstrip(), "```", "", *table(context)]
    return "\n".join(lines)


def real() -> str:
    """The reference of this checkout's commands."""
    from typer.main import get_command

    from radretrieval.cli import app

    return reference(get_command(app)).strip()


if __name__ == "__main__":
    main(PAGE, real())

"""Plain tables on stdout; scripts read the JSON instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from radretrieval.files.text import printable

_WIDEST = 10_000  # characters: no cell is cut, whatever the terminal's width


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    align: str | None = None,
) -> None:
    """Print a table to stdout: no colours, no cut cells, whatever stdout is.

    Parameters
    ----------
    columns : the headings.
    rows : cells, printed by `text`.
    title : a line above the table.
    align : `l` or `r` for each column; without it columns that hold only numbers stand right.
    """
    from rich.box import SIMPLE_HEAD  # heavy; only commands that print a table need it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for position, column in enumerate(columns):
        right = align[position] == "r" if align else _is_numeric(row[position] for row in listed)
        drawn.add_column(Text(column), justify="right" if right else "left", no_wrap=True)
    for row in listed:
        drawn.add_row(*(Text(text(cell)) for cell in row))
    console = Console(width=_WIDEST, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(drawn)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    print("\n".join(([printable(title)] if title else []) + lines))


def key_values(pairs: Iterable[tuple[str, object]]) -> None:
    """Print one `key  value` line for each pair, the values below each other."""
    listed = [(key, text(value)) for key, value in pairs]
    width = max((len(key) for key, _ in listed), default=0)
    for key, value in listed:
        print(f"{key:<{width}}  {value}".rstrip())


def text(cell: object) -> str:
    """A cell's text, printable: `-` for None, yes or no, four significant figures, two decimals from 100 on.

    Examples
    --------
    >>> [text(cell) for cell in (None, True, 12345, 0.123456, 224.13, "a")]
    ['-', 'yes', '12345', '0.1235', '224.13', 'a']
    """
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.2f}" if abs(cell) >= 100 else f"{cell:.4g}"
    return printable(str(cell))


def _is_numeric(cells: Iterable[object]) -> bool:
    kinds = [isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in cells if cell is not None]
    return bool(kinds) and all(kinds)

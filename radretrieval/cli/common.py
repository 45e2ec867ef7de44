"""What the commands share: options, settings, JSON, progress bars."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from radretrieval.archive.connections import Database
    from radretrieval.config import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Device = Annotated[str, typer.Option("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1, …")]
EncoderId = Annotated[
    int | None,
    typer.Option("--encoder", min=1, max=2**31 - 1, metavar="ID", help="Use this encoder instead of the active one."),
]


def settings(context: typer.Context) -> Settings:
    """The settings of this run: the environment, and `--database-url` before it."""
    from pydantic import ValidationError

    from radretrieval.config import Settings
    from radretrieval.errors import UsageError

    try:
        found = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"RADRETRIEVAL_{'_'.join(map(str, first['loc'])).upper()}"
        raise UsageError(f"the setting {name} is not usable: {first['msg']}") from None
    return found.model_copy(update={"database_url": context.obj or found.database_url})


@contextmanager
def opened(context: typer.Context) -> Iterator[tuple[Database, Settings]]:
    """The archive of this run, checked, with its settings; the embedded server is left at the end."""
    from radretrieval.archive.opening import open_database

    with leaving_embedded(chosen := settings(context)):
        yield open_database(chosen), chosen


@contextmanager
def leaving_embedded(chosen: Settings) -> Iterator[None]:
    """Leave the embedded server, if it is used, when the block ends: the last to leave stops it."""
    try:
        yield
    finally:
        if chosen.database_url is None:
            from radretrieval.archive.embedded import shared_server

            shared_server.release(chosen.home)


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM, and the first SIGINT, ask to stop in order; a second SIGINT ends the run at once."""

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, default=str, ensure_ascii=False))


def tell(message: str) -> None:
    """A line for the person, on stderr; what is not printable in it is escaped."""
    from radretrieval.files.uris import printable

    print(printable(message), file=sys.stderr)


def tell_failures(failures: list[dict[str, str]], most: int = 20) -> None:
    """Name the inputs that failed, on stderr."""
    for failure in failures[:most]:
        tell(f"failed: {failure['path']}: {failure['message']}")
    if len(failures) > most:
        tell(f"… and {len(failures) - most} more (all of them with --json)")


def tell_problems(problems: list[dict[str, str]], most: int = 3) -> None:
    """Count what was amiss around the inputs by its kind, and name the first of each, on stderr."""
    from radretrieval.ingest.problem import KINDS

    for kind, called in KINDS.items():
        met = [problem for problem in problems if problem["error"] == kind]
        if met:
            tell(f"{called}: {len(met)}")
        for problem in met[:most]:
            tell(f"  {problem['path']}: {problem['message']}")
        if len(met) > most:
            tell(f"  … and {len(met) - most} more (all of them with --json)")


class Bar:
    """A progress bar with rate and time left; call it with the number of things that were finished."""

    def __init__(self, progress: Progress | None, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total, rate="") if progress else None

    def __call__(self, count: int, what: str | None = None) -> None:
        """`count` more are finished; `what` is the new text before the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)
            speed = self._progress.tasks[0].speed
            text = {} if what is None else {"description": what}
            self._progress.update(self._task, rate=f"{speed:.0f}/s" if speed else "", **text)  # type: ignore[arg-type]

    def set_total(self, total: int) -> None:
        """So many there will be."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total)


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Bar]:
    """A progress bar on stderr where that is a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield Bar(None, what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, what, total)

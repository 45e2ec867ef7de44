"""What the commands share: options, the archive, what they print, progress bars."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from radretrieval.api.archive import Archive
    from radretrieval.files.failures import FailureList

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Device = Annotated[str, typer.Option("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1, …")]
EncoderId = Annotated[
    int | None,
    typer.Option("--encoder", min=1, max=2**31 - 1, metavar="ID", help="Use this encoder instead of the active one."),
]
Issuer = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        metavar="NAME",
        help="Who gave patient identifiers that come without an issuer; default RADRETRIEVAL_ISSUER, none.",
    ),
]
MetricsAddress = Annotated[
    str | None,
    typer.Option("--metrics", metavar="ADDRESS:PORT", help="Answer Prometheus there with what this process counts."),
]
OfPatient = Annotated[
    str | None, typer.Option("--patient", metavar="ID|KEY", help="All of a patient, by identifier or pseudonym.")
]
OfStudy = Annotated[str | None, typer.Option("--study", metavar="UID", help="All of a study.")]
OfImage = Annotated[
    int | None, typer.Option("--image", min=1, max=2**63 - 1, metavar="N", help="One image: all of its file.")
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="For the audit; without names of patients.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Decoding processes; default one a core.")
]


def opened(context: typer.Context) -> Archive:
    """The archive of this run, opened when it is first used; `--database-url` comes before the environment."""
    from radretrieval.api.archive import Archive
    from radretrieval.api.base import make_settings

    return Archive(make_settings(database_url=context.obj))


def check_needs(context: typer.Context, **needs: str) -> None:
    """Raise UsageError for an option that was given without the one that it is about: it would be ignored in silence.

    Parameters
    ----------
    needs : by the parameter's name, the names of those of which one must be given too, as "verify verify_only".
    """
    from radretrieval.errors import UsageError

    def given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name != "DEFAULT"

    called = {one.name: one.opts[0] for one in context.command.params}
    for name, others in needs.items():
        if given(name) and not any(map(given, others.split())):
            about = " or ".join(called[other] for other in others.split())
            raise UsageError(f"{called[name]} goes with {about}; say that too, or leave it out")


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and the first SIGINT set, to stop in order; a second SIGINT ends the run at once."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


@contextmanager
def answering_prometheus(address: str | None) -> Iterator[None]:
    """Answer Prometheus at the address of --metrics, if there is one, while the block runs."""
    from radretrieval import metrics

    with metrics.listening(address) as port:
        if address is not None:
            tell(f"metrics are at http://{address.rpartition(':')[0]}:{port}/metrics", "service_ready")
        yield


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout, in one printable line."""
    from radretrieval.files.text import json_line

    print(json_line(document))


def print_document(
    document: Mapping[str, Any], as_json: bool, only: Collection[str] = (), without: Collection[str] = ()
) -> None:
    """Print a document as JSON, or as a table of its figures.

    Parameters
    ----------
    only, without : figures of the table; failures and problems are never among them.
    """
    if as_json:
        print_json(document)
        return
    from radretrieval.report.table import key_values

    hidden = {"failures", "problems", *without}
    key_values([(name, document[name]) for name in only or document if name not in hidden])


def tell(message: str, event: str = "notice") -> None:
    """A line for the person, on stderr; what is not printable in it is escaped. An event, where the log is JSON."""
    from radretrieval import logs
    from radretrieval.files.text import printable

    with suppress(OSError):  # a log that cannot be written ends no service
        if not logs.say(event, message):
            print(printable(message), file=sys.stderr)


def not_active(encoder: int) -> str:
    """What to do with an encoder that was added beside the active one."""
    return (
        f"encoder {encoder} is not active: fill it with `radretrieval work --once --encoder {encoder}`, then switch "
        f"with `radretrieval encoder activate {encoder}`"
    )


def tell_of(one: Mapping[str, str], mark: str, event: str) -> None:
    """What is wrong with an input: with its path for the person, without it in a log as JSON."""
    from radretrieval import logs
    from radretrieval.files.text import without_path

    if not logs.say(event, f"{one['error']}: {without_path(one['message'], one['path'])}"):
        tell(f"{mark}{one['path']}: {one['message']}")


def tell_failures(failures: FailureList, most: int = 20) -> None:
    """Name the inputs that failed, on stderr; not in a log as JSON, where their reasons stand."""
    for failure in failures[:most]:
        tell_of(failure, "failed: ", "input_failed")
    if failures.total > most:
        kept = "all of them" if failures.total == len(failures) else f"the first {len(failures)}"
        tell(f"… and {failures.total - most} more ({kept} with --json)")


def tell_passed_over(files: int) -> None:
    """How many files of a folder are known by name to be no images."""
    tell(f"{files} files beside the images were passed over (labels.csv, DICOMDIR, Thumbs.db, …)")


def tell_problems(problems: list[dict[str, str]], most: int = 3) -> None:
    """Count the problems by kind, and name the first of each, on stderr."""
    from radretrieval.report.problems import by_kind

    for called, found in by_kind(problems):
        tell(f"{called}: {len(found)}")
        for problem in found[:most]:
            tell_of(problem, "  ", "input_problem")
        if len(found) > most:
            tell(f"  … and {len(found) - most} more (all of them with --json)")


class Bar:
    """A progress bar with rate and time left, as the API calls it: what was finished, of how many, and the step."""

    def __init__(self, progress: Progress, step: str) -> None:
        self._progress = progress
        self._task = progress.add_task(step, total=None, rate="")

    def __call__(self, count: int, total: int | None = None, step: str | None = None, /) -> None:
        self._progress.advance(self._task, count)
        speed = self._progress.tasks[0].speed
        changed = {"total": total, "description": step, "rate": f"{speed:.0f}/s" if speed else ""}
        known: dict[str, Any] = {name: value for name, value in changed.items() if value is not None}
        self._progress.update(self._task, **known)


@contextmanager
def bar(step: str) -> Iterator[Bar | None]:
    """A progress bar on stderr where that is a terminal; elsewhere None."""
    if not sys.stderr.isatty():
        yield None
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
        yield Bar(progress, step)


def check_output(path: Path | None, suffix: str, what: str) -> None:
    """Raise UsageError, before the work begins, for a file that cannot be written."""
    if path is not None:
        from radretrieval.files import output

        output.check_output(path, suffix, what)

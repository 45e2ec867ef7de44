"""The application: global options, the commands, and what becomes of an error."""

from __future__ import annotations

import io
import logging
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from radretrieval.cli import (
    db,
    demo,
    encoder,
    evaluate,
    export,
    index,
    ingest,
    patient_key,
    phantom,
    pull,
    receive,
    search,
    status,
    train,
    verify,
    work,
)
from radretrieval.errors import EnvironmentUnusable, RadretrievalError

if TYPE_CHECKING:
    from types import TracebackType

# Typer carries its own copy of Click from 0.26 on: its base class of usage errors is found from one that it exports
_ClickError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="radretrieval",
    help="Find the radiographs most like a given one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("ingest")(ingest.ingest)
app.command("verify")(verify.verify)
app.command("receive")(receive.receive)
app.command("pull")(pull.pull)
app.command("train")(train.train)
app.command("work")(work.work)
app.command("search")(search.search)
app.command("evaluate")(evaluate.evaluate)
app.command("status")(status.status)
app.command("export")(export.export)
app.command("phantom")(phantom.phantom)
app.command("demo")(demo.demo)
app.add_typer(db.app, name="db")
app.add_typer(encoder.app, name="encoder")
app.add_typer(index.app, name="index")
app.add_typer(patient_key.app, name="patient-key")


def _version(wanted: bool) -> None:
    if wanted:
        from radretrieval import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            envvar="RADRETRIEVAL_DATABASE_URL",
            help="PostgreSQL with pgvector, as postgresql://user@host/database; without it the embedded server.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log more, and show tracebacks.")] = False,
    # eager: no command need follow
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Find the radiographs most like a given one."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    context.obj = database_url or None


def main() -> None:
    """Run the command line and end the process with the contract's exit code (0, 1, 2 or 3)."""
    verbose = bool({"-v", "--verbose"} & set(sys.argv[1:]))
    # so that the embedded server and the decoding processes are ended in order, as on Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an odd file name ends no command in any locale
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = _told("interrupted; what was committed stays, run the command again to go on", 130)
    except _ClickError as error:
        error.show()  # type: ignore[attr-defined]
        code = 2
    except RadretrievalError as error:
        _traceback(verbose, error)
        code = _told(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        code = _told("interrupted; what was committed stays, run the command again to go on", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nothing to tell, nobody to tell it to
        code = 0
    except Exception as error:
        _traceback(verbose, error)
        code = _told(
            f"error: {type(error).__name__}: {error} (this is a fault of radretrieval; -v shows where)",
            EnvironmentUnusable.exit_code,
        )
    sys.exit(code if isinstance(code, int) else 0)


def _told(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def _traceback(verbose: bool, error: BaseException) -> None:
    if verbose:
        import traceback

        shown: TracebackType | None = error.__traceback__
        traceback.print_exception(type(error), error, shown)

"""The application: global options, the commands, and what becomes of an error."""

from __future__ import annotations

import atexit
import errno
import io
import logging
import os
import resource
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Annotated, TextIO

import typer

from radretrieval import logs
from radretrieval.cli import (
    audit,
    backup,
    db,
    demo,
    encoder,
    evaluate,
    export,
    federation,
    feedback,
    forget,
    health,
    index,
    ingest,
    metrics,
    patient_key,
    phantom,
    pull,
    receive,
    search,
    serve,
    status,
    train,
    users,
    verify,
    withdraw,
    work,
)
from radretrieval.errors import EnvironmentUnusable, RadretrievalError
from radretrieval.files.text import printable_lines

# Typer carries its own copy of Click from 0.26 on: its base class of usage errors is found from one that it exports
_ClickError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


class LogFormat(StrEnum):
    """How the log is written."""

    text = "text"
    json = "json"


# A write that fails so is no fault of the program
_NOT_WRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}

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
app.command("serve")(serve.serve)
app.command("evaluate")(evaluate.evaluate)
app.command("status")(status.status)
app.command("health")(health.health)
app.command("metrics")(metrics.metrics)
app.command("export")(export.export)
app.command("forget")(forget.forget)
app.command("withdraw")(withdraw.withdraw)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("phantom")(phantom.phantom)
app.command("demo")(demo.demo)
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")
app.add_typer(encoder.app, name="encoder")
app.add_typer(federation.app, name="federation")
app.add_typer(feedback.app, name="feedback")
app.add_typer(index.app, name="index")
app.add_typer(patient_key.app, name="patient-key")
app.add_typer(users.app, name="users")


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
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", envvar="RADRETRIEVAL_LOG_FORMAT", help="How stderr is written: lines, or JSON."),
    ] = LogFormat.text,
    # eager: no command need follow
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Find the radiographs most like a given one."""
    logs.start(log_format.value, logging.INFO if verbose else logging.WARNING, sys.argv[1:])
    context.obj = database_url or None
    # what pg_stat_activity and messages about locks show, here and in the processes that are started
    os.environ.setdefault("PGAPPNAME", f"radretrieval {context.invoked_subcommand}")


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # a core dump would hold passwords, keys and films
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    ended_with: list[int] = []
    # the first to be registered, so the last to be called: what others registered is done by then
    atexit.register(_leave, ended_with)
    ended_with.append(run())
    sys.exit(ended_with[0])


def _leave(ended_with: list[int]) -> None:
    """End the process without tearing the interpreter down, which does nothing for the user.

    With torch it takes a third of a second, and a library's destructor that calls into Python when the thread state is
    gone would end the process by a segmentation fault in place of the exit code.
    """
    if ended_with:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(ended_with[0])


def run() -> int:
    """Run the command line of `sys.argv`; returns the contract's exit code (0, 1, 2, 3, or 130 on Ctrl-C)."""
    verbose = bool({"-v", "--verbose"} & set(sys.argv[1:]))
    # so that the embedded server and the decoding processes are ended in order, as on Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # whoever started us closed it
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an odd file name ends no command in any locale
    code: object = 0
    try:
        code = _ran(verbose)
        sys.stdout.flush()  # what the interpreter flushes at its end gives no exit code of ours
    except OSError as error:
        code = _not_written(error, code, verbose)
    except SystemExit as ended:  # Click ends so where a write met a closed pipe
        code = _not_written(ended.__context__, code, verbose) if isinstance(ended.__context__, OSError) else ended.code
    with _written(sys.stderr):
        sys.stderr.flush()
    return code if isinstance(code, int) else 0


@contextmanager
def _written(stream: TextIO) -> Iterator[None]:
    """Discard what is left of a stream that cannot be written: the interpreter's last flush would end with 120."""
    try:
        yield
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _ran(verbose: bool) -> object:
    """The exit code of the command; raises OSError where output of ours could not be written."""
    try:
        code: object = app(standalone_mode=False)
        return _interrupted() if code == 130 else code  # so Typer answers a KeyboardInterrupt
    except typer.Abort:
        return _interrupted()
    except _ClickError as error:
        with _written(sys.stderr):
            if not logs.say("usage_refused", error.format_message()):  # type: ignore[attr-defined]
                said = io.StringIO()
                error.show(said)  # type: ignore[attr-defined]
                print(printable_lines(said.getvalue()), end="", file=sys.stderr)
        return 2
    except RadretrievalError as error:
        _traceback(verbose, error)
        return _told(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NOT_WRITTEN:
            raise
        return _fault(error, verbose)


def _interrupted() -> int:
    return _told("interrupted; what was committed stays, run the command again to go on", 130)


def _not_written(error: OSError, code: object, verbose: bool) -> object:
    """Say why output is lost: a full disk ends with 3. Where nobody reads it any more, `code` stays as it is."""
    gone = _reader_gone()
    with _written(sys.stdout):
        sys.stdout.flush()
    if error.errno == errno.EPIPE:
        return code if gone else _fault(error, verbose)
    _traceback(verbose, error)
    place = f" to {error.filename}" if error.filename else ""
    return _told(
        f"error: the output cannot be written{place}: {error.strerror}; make room or send it elsewhere, then run it "
        "again",
        EnvironmentUnusable.exit_code,
    )


def _reader_gone() -> bool:
    """Whether stdout is a pipe or a socket whose other end is closed."""
    try:
        found = select.poll()
        found.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in found.poll(0))
    except (OSError, ValueError):
        return False


def _fault(error: Exception, verbose: bool) -> int:
    _traceback(verbose, error)
    return _told(
        f"error: {type(error).__name__}: {error} (this is a fault of radretrieval; -v shows where)",
        EnvironmentUnusable.exit_code,
    )


def _told(message: str, code: int) -> int:
    with _written(sys.stderr):
        if not logs.say("command_interrupted" if code == 130 else "command_failed", message.removeprefix("error: ")):
            print(printable_lines(message), file=sys.stderr)
    return code


def _traceback(verbose: bool, error: BaseException) -> None:
    if verbose:
        import traceback

        told = "".join(traceback.format_exception(error))
        if not logs.say("traceback", told):
            print(printable_lines(told), end="", file=sys.stderr)

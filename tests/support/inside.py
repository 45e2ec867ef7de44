"""The command line in this process, where torch is imported already: for tests whose subject is not the process."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from conftest import COMMAND, Run


def run_inside(arguments: Sequence[object], environment: Mapping[str, str], folder: Path, *, check: bool = True) -> Run:
    """What `radretrieval …` ends with, prints and logs, as from a process with this environment, in this folder."""
    from radretrieval.cli.app import run

    command = [str(COMMAND), *map(str, arguments)]
    out, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", command),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        _own_logging_and_signals(),
    ):
        code = run()
    said, told = (stream.buffer.getvalue().decode() for stream in (out, errors))  # type: ignore[attr-defined]
    assert code == 0 or not check, f"{' '.join(command)}\nexit code {code}\n{said}{told}"
    return Run(command, code, said, told)


@contextlib.contextmanager
def _own_logging_and_signals() -> Iterator[None]:
    """A command sets up the root logger and its signals; pytest's come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    root.handlers = []
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers = handlers
        root.setLevel(level)
        for number, handler in kept.items():
            signal.signal(number, handler)

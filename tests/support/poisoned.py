"""Films that harm the process that decodes them, as damaged ones do a codec: it crashes, is killed, or never ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from radretrieval.storage.source import SourceFile
from radretrieval.storage.worker_pool import call

NAMED = "RADRETRIEVAL_TEST_POISON"  # the environment variable says what each does: "film-01=crash film-02=hang"


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _kill() -> None:  # as the kernel does where memory runs out
    os.kill(os.getpid(), signal.SIGKILL)


def _fill() -> None:
    bytearray(2**40)


def _hang() -> None:
    time.sleep(3600)


HARM = {"crash": _crash, "kill": _kill, "fill": _fill, "hang": _hang}


def poisoned(task: Callable[[], Any]) -> Any:
    """The job of a pool: what a task returns, unless it reads a film that is named."""
    for given in getattr(task, "args", ()):
        file = getattr(given, "file", given)
        if isinstance(file, SourceFile):
            for one in os.environ.get(NAMED, "").split():
                name, _, harm = one.partition("=")
                if name in file.uri:
                    HARM[harm]()
    return call(task)

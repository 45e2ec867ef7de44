"""What a process of a `WorkerPool` does: receive the job, then items, one at a time, until the parent is gone."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from radretrieval.errors import ImageError


def serve(descriptor: int) -> None:
    """Main function of a worker process: receive the job, then items until the parent closes the pipe or dies."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent ends its workers; systemd signals the whole group
        signal.signal(number, signal.SIG_IGN)
    pipe = Connection(descriptor)
    try:
        job, memory, seconds = pickle.loads(pipe.recv_bytes())
        _limit_memory(memory)
    except EOFError:
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    threading.Thread(target=_leave_with_parent, args=(descriptor,), daemon=True).start()
    pipe.send(None)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            item = pipe.recv()
            # the kernel ends an orphan whose job hangs in C and holds the interpreter's lock
            signal.setitimer(signal.ITIMER_REAL, seconds)
            answer = _answer(job, item)
            signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.send_bytes(answer)
            del item, answer  # not beside the next item's


def _leave_with_parent(descriptor: int) -> None:
    """End this process once the parent's end of the pipe is gone, whatever the job is doing."""
    watch = select.poll()
    watch.register(descriptor, 0)  # a hang-up is always reported
    watch.poll()
    os._exit(1)


def _limit_memory(size: int) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _answer(job: Callable[[Any], Any], item: Any) -> bytes:
    """(True, result) or (False, exception), pickled."""
    try:
        return pickle.dumps((True, job(item)), protocol=pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        return pickle.dumps((False, MemoryError()))
    except BaseException as error:  # pyo3's PanicException is no Exception
        try:
            answer = pickle.dumps((False, error))
            if isinstance(pickle.loads(answer)[1], Exception):
                return answer
        except Exception:  # an exception that cannot travel still has a message
            pass
        return pickle.dumps((False, ImageError(f"{type(error).__name__}: {error}")))

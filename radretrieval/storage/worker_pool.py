"""A pool of worker processes that decode: a codec that crashes, hangs or exhausts memory fails its own item only.

Each process serves one pipe and one item at a time, so that the pool always knows which item ended which
process. Processes are started as fresh interpreters, never forked: the parent has threads, torch and database
connections.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from radretrieval import metrics
from radretrieval.errors import EnvironmentUnusable, ImageError
from radretrieval.storage import worker_process

if TYPE_CHECKING:
    from radretrieval.config import Settings

T = TypeVar("T")
R = TypeVar("R")
Run = Callable[[Callable[[], Any]], Any]  # runs a task and returns what it returns: `call`, or a pool's `run`

_START_SECONDS = 60.0  # for a fresh interpreter and the job's imports, on a machine under load
_ORPHAN_SECONDS = 2.0  # an orphan whose job hangs ends itself this long after the job's time
# Pauses, in seconds, before an item whose process was ended by SIGKILL is tried again: the job's own memory has a limit
# that ends in MemoryError, so it was the kernel, which chooses by size and not by fault when memory runs out.
_KILLED_PAUSES = (1.0, 5.0)


class WorkerPool(Generic[T, R]):
    """Run a job on many items, in processes of their own.

    Parameters
    ----------
    workers : processes; at least one is used. They start with the first items.
    job : a function of one item, importable by its name (or a `functools.partial` of one); item and result
        are pickled.
    timeout : seconds that one item may take.
    megabytes : memory (address space) that one process may take.

    Examples
    --------
    >>> with WorkerPool(2, len, timeout=10, megabytes=1000) as pool:
    ...     list(pool.map(["a", "bcd"]))
    [('a', 1), ('bcd', 3)]
    """

    def __init__(self, workers: int, job: Callable[[T], R], *, timeout: float, megabytes: int) -> None:
        if "<" in getattr(job, "__qualname__", "") or getattr(job, "__module__", "") == "__main__":
            raise ValueError(f"{job!r} cannot be imported by name in another process")
        self._count = max(1, workers)
        self._start = pickle.dumps((job, megabytes * 2**20, timeout + _ORPHAN_SECONDS))
        self._timeout, self._megabytes = timeout, megabytes
        # last in, first out: with few items only few processes are ever started
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        for _ in range(self._count):
            self._free.put(_Process(self._start))
        self._processes = list(self._free.queue)
        # one thread per process, which waits for its pipe
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="decoders")
        self._closed = threading.Event()

    @classmethod
    def of(cls, settings: Settings, job: Callable[[T], R], workers: int | None = None) -> WorkerPool[T, R]:
        """A pool with the limits of the settings; None for one process a core."""
        count = workers or os.cpu_count() or 1
        return cls(count, job, timeout=settings.decode_seconds, megabytes=settings.decode_megabytes)

    def __enter__(self) -> WorkerPool[T, R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes at once; items not yet finished are dropped."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.stop()
        self._threads.shutdown(wait=True)
        for process in self._processes:
            process.end()

    def submit(self, item: T) -> Future[R]:
        """Start the job on one item; the future's `result()` gives its result or raises its exception.

        Items submitted are worked on while the caller does something else. `result()` raises what the job
        raised; ImageError where it took too long, took too much memory or ended its process (by SIGKILL three times);
        EnvironmentUnusable where no process can be started.
        """
        return self._threads.submit(self._run, item)

    def run(self, item: T) -> R:
        """What the job makes of one item; raises as the future of `submit`."""
        return self.submit(item).result()

    def map(self, items: Iterable[T], ahead: int | None = None) -> Iterator[tuple[T, R | Exception]]:
        """Run the job on each item; yields (item, its result or its exception), in the order of the items.

        Parameters
        ----------
        items : may be endless; it is read lazily.
        ahead : how many items are read, and results kept, beyond the one that is yielded; default 4 a
            process.

        Raises
        ------
        EnvironmentUnusable
            No process can be started.
        """
        window: deque[tuple[T, Future[R]]] = deque()
        limit = max(1, 4 * self._count if ahead is None else ahead)
        try:
            for item in items:
                window.append((item, self.submit(item)))
                while window and (len(window) > limit or window[0][1].done()):
                    done, future = window.popleft()
                    yield done, outcome(future)
            while window:
                done, future = window.popleft()
                yield done, outcome(future)
        finally:
            for _, future in window:
                future.cancel()

    def _run(self, item: T) -> R:
        process = self._free.get()
        try:
            pauses = iter(_KILLED_PAUSES)
            while True:
                try:
                    return self._ask(process, item)
                except _Killed as killed:
                    if (pause := next(pauses, None)) is None:
                        raise killed.error from None
                    self._closed.wait(pause)
        finally:
            self._free.put(process)

    def _ask(self, process: _Process, item: T) -> R:
        """The job's result on one item by that process; raises as `submit` says, and `_Killed`."""
        if self._closed.is_set():
            raise EnvironmentUnusable("the decoding processes were stopped")
        pipe = process.started()
        try:
            pipe.send(item)
            if not pipe.poll(self._timeout):
                process.end()
                metrics.count(metrics.DECODERS_ENDED, 1, "timeout")
                raise ImageError(f"took longer than {self._timeout:g} s to decode (RADRETRIEVAL_DECODE_SECONDS)")
            succeeded, value = pickle.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            code = process.end(grace=2)
            if self._closed.is_set():
                raise EnvironmentUnusable("the decoding processes were stopped") from None
            metrics.count(metrics.DECODERS_ENDED, 1, _cause(code))
            ended = f"ended the process that decoded it ({_cause(code)})"
            if code == -signal.SIGKILL:
                cure = "give the machine more, or run less beside it, and try again"
                raise _Killed(ImageError(f"{ended}: memory ran out; {cure}")) from None
            raise ImageError(f"{ended}: the file is damaged, or memory ran out") from None
        except BaseException:  # what the pipe still holds belongs to no later item
            process.end()
            raise
        if succeeded:
            result: R = value
            return result
        if isinstance(value, MemoryError):
            raise ImageError(f"needs more than {self._megabytes} MB to decode (RADRETRIEVAL_DECODE_MEGABYTES)")
        raise value


def call(task: Callable[[], R]) -> R:
    """What a task returns: as its job, a pool runs tasks of any kind, each a `functools.partial`."""
    return task()


def outcome(future: Future[Any]) -> Any:
    """The result of an item or its exception; raises EnvironmentUnusable, which no item causes."""
    try:
        return future.result()
    except EnvironmentUnusable:
        raise
    except Exception as error:
        return error


def _environment() -> dict[str, str]:
    """This process's, with one thread for the libraries and nothing that leads to the database."""
    hidden = ("PG", "RADRETRIEVAL_DATABASE_", "RADRETRIEVAL_DIRECT_DATABASE_", "RADRETRIEVAL_READ_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _cause(code: int) -> str:
    """An exit status in words."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"signal {-code}"


class _Killed(Exception):
    """SIGKILL ended the process; `error` is what that means once no further attempt is made."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Process:
    """One decoding process and the parent's end of its pipe; started when needed, again after each end."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._stopped = False

    def started(self) -> Connection:
        """The pipe to the running process; raises EnvironmentUnusable where it cannot be started."""
        if self._pipe is not None and self._process is not None and self._process.poll() is None:
            return self._pipe
        self.end()
        pipe, theirs = Pipe()
        main = f"from {worker_process.__name__} import serve; serve({theirs.fileno()})"
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {main}"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # codecs print; the parent's stdout is for results
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C at the terminal reaches the parent alone
                )
            except OSError as error:
                pipe.close()
                raise EnvironmentUnusable(f"a decoding process cannot be started: {error}") from error
        self._pipe = pipe
        if self._stopped:  # while it was being started
            self._process.kill()
        status = 0
        try:
            pipe.send_bytes(self._start)
            problem = pipe.recv() if pipe.poll(_START_SECONDS) else f"not within {_START_SECONDS:g} s"
        except (EOFError, ConnectionError):
            status = self.end(grace=2)
            problem = f"it ended ({_cause(status)})"
        if problem:
            self.end()
            failed = EnvironmentUnusable(f"a decoding process cannot be started: {problem}")
            raise _Killed(failed) if status == -signal.SIGKILL else failed
        return pipe

    def stop(self) -> None:
        """Kill the process for good, from any thread; its pipe tells the thread that waits on it."""
        self._stopped = True
        if (process := self._process) is not None:
            process.kill()

    def end(self, grace: float = 0) -> int:
        """Kill and reap the process, close the pipe; its exit status, negative for a signal.

        A process that is ending by itself is given `grace` seconds: its own status says more than our
        SIGKILL.
        """
        if self._pipe is not None:
            self._pipe.close()
        code = 0
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
            self._process.kill()
            code = self._process.wait()
        self._process = self._pipe = None
        return code

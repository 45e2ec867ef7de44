"""The pool of decoding processes: order, laziness, and what one bad item does to its neighbours (nothing)."""

import functools
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from radretrieval.errors import EnvironmentUnusable, ImageError, InputMissing
from radretrieval.storage import worker_pool
from radretrieval.storage.worker_pool import WorkerPool


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def work(item):
    """A job of many kinds; a number is doubled."""
    if isinstance(item, (int, float)):
        return item * 2
    kind, value = item
    if kind == "sleep":
        time.sleep(value)
    elif kind == "kill":
        os.kill(os.getpid(), value)
    elif kind == "allocate":
        return len(bytearray(value))
    elif kind == "image":
        raise ImageError(value)
    elif kind == "missing":
        raise InputMissing(value)
    elif kind == "unpicklable":
        raise UnpicklableError("this", "that")
    elif kind == "exit":
        sys.exit(value)
    elif kind == "lock":
        raise ValueError(threading.Lock())
    elif kind == "result":
        return threading.Lock()
    elif kind == "survive":
        attempts = Path(value)
        attempts.write_text(attempts.read_text() + "x")
        if len(attempts.read_text()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "print":
        print("noise")
        os.write(2, b"noise")
    elif kind == "pid":
        return os.getpid(), [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        ]
    return kind


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """What was killed is tried again at once."""
    monkeypatch.setattr(worker_pool, "_KILLED_PAUSES", (0.0, 0.0))


def add(number, item):
    return number + item


def hang_in_c(seconds):
    """Holds the interpreter's lock for long, as a codec in C may."""
    if seconds:
        return sum(range(int(seconds * 1e8)))
    return os.getpid()


@pytest.fixture(scope="module")
def decoders():
    with WorkerPool(2, work, timeout=20, megabytes=2000) as pool:
        yield pool


def test_results_in_the_order_of_the_items(decoders):
    items = [("sleep", 0.2), 1, ("sleep", 0.1), 2, 3]
    assert list(decoders.map(items)) == [(items[0], "sleep"), (1, 2), (items[2], "sleep"), (2, 4), (3, 6)]


def test_endless_input_is_read_with_bounded_lookahead(decoders):
    taken = itertools.count()
    outcomes = decoders.map(taken, ahead=5)
    for expected in range(100):
        assert next(outcomes) == (expected, expected * 2)
    outcomes.close()
    assert next(taken) <= 100 + 6


def test_results_come_before_a_slow_input_has_given_its_lookahead(decoders):
    def slow():
        for number in range(3):
            yield number
            time.sleep(0.3)
        raise AssertionError("read too far")

    assert next(decoders.map(slow(), ahead=50)) == (0, 0)


def test_a_thousand_items_come_in_their_order(decoders):
    assert [result for _, result in decoders.map(range(1000))] == [2 * n for n in range(1000)]


def test_exceptions_come_back_as_values(decoders):
    items = [
        ("image", "no picture"),
        ("missing", "gone.png"),
        ("unpicklable", 0),
        ("exit", 3),
        ("lock", 0),
        7,
    ]
    image, missing, unpicklable, ended, lock, seven = (outcome for _, outcome in decoders.map(items))
    assert (type(image), str(image)) == (ImageError, "no picture")
    assert (type(missing), str(missing)) == (InputMissing, "gone.png")
    assert isinstance(unpicklable, ImageError)
    assert "this and that" in str(unpicklable)
    assert isinstance(ended, ImageError)
    assert isinstance(lock, ImageError)
    assert seven == 14


def test_a_result_or_an_item_that_cannot_be_pickled_is_that_items_failure(decoders):
    outcomes = [outcome for _, outcome in decoders.map([1, ("result", 0), ("sleep", threading.Lock()), 2])]
    assert outcomes[0] == 2
    assert outcomes[3] == 4
    assert isinstance(outcomes[1], Exception)
    assert isinstance(outcomes[2], Exception)


def test_an_item_whose_process_was_killed_is_tried_again(decoders, tmp_path):
    """Memory ran out for a moment, and the kernel chose a process that decodes: no fault of its item."""
    attempts = tmp_path / "attempts"
    attempts.write_text("")
    assert [outcome for _, outcome in decoders.map([1, ("survive", str(attempts)), 2])] == [2, "survive", 4]
    assert attempts.read_text() == "xxx"


def test_a_process_that_is_killed_as_it_starts_is_started_again(decoders, monkeypatch):
    start, starts = subprocess.Popen, []

    def killed_at_first(*given, **named):
        starts.append(start(*given, **named))
        if len(starts) == 1:
            starts[0].kill()
        return starts[-1]

    monkeypatch.setattr(subprocess, "Popen", killed_at_first)
    with WorkerPool(1, work, timeout=30, megabytes=2000) as pool:
        assert pool.run(3) == 6
    assert len(starts) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_costs_its_own_item_only(decoders, number):
    items = [1, ("kill", int(number)), 2, ("kill", int(number)), 3, 4]
    outcomes = [outcome for _, outcome in decoders.map(items)]
    assert [outcomes[i] for i in (0, 2, 4, 5)] == [2, 4, 6, 8]
    for i in (1, 3):
        assert isinstance(outcomes[i], ImageError)
        assert number.name in str(outcomes[i])


def test_memory_beyond_the_limit_costs_its_own_item_only(decoders):
    before, big, after = (outcome for _, outcome in decoders.map([1, ("allocate", 3_000_000_000), 2]))
    assert (before, after) == (2, 4)
    assert isinstance(big, ImageError)
    assert "2000 MB" in str(big)
    assert "RADRETRIEVAL_DECODE_MEGABYTES" in str(big)


def test_an_item_that_takes_too_long_is_ended(decoders):
    with WorkerPool(2, work, timeout=0.5, megabytes=2000) as pool:
        list(pool.map([1, 2]))
        started = time.perf_counter()
        outcomes = [outcome for _, outcome in pool.map([1, ("sleep", 60), 2, 3])]
        assert time.perf_counter() - started < 10
    assert [outcomes[i] for i in (0, 2, 3)] == [2, 4, 6]
    assert isinstance(outcomes[1], ImageError)
    assert "took longer than 0.5 s" in str(outcomes[1])


def test_submitted_items_are_worked_on_meanwhile(decoders):
    futures = [decoders.submit(n) for n in range(10)]
    deadline = time.monotonic() + 10
    while not all(future.done() for future in futures) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [future.result(timeout=0) for future in futures] == [2 * n for n in range(10)]
    with pytest.raises(ImageError, match="no picture"):
        decoders.submit(("image", "no picture")).result()


def test_signals_for_the_group_do_not_end_the_children(decoders):
    pid, _ = decoders.submit(("pid", 0)).result()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert decoders.submit(("kill", int(signal.SIGTERM))).result() == "kill"
    assert psutil.pid_exists(pid)


def test_children_have_no_file_of_the_parent_and_are_silent(decoders, tmp_path, capfd):
    with open(tmp_path / "secret", "w") as file:
        os.set_inheritable(file.fileno(), True)
        with WorkerPool(1, work, timeout=20, megabytes=2000) as pool:
            _, targets = pool.submit(("pid", 0)).result()
            pool.submit(("print", 0)).result()
    assert not [target for target in targets if "secret" in target]
    assert sum("socket:" in target for target in targets) == 1
    assert capfd.readouterr() == ("", "")


def test_no_process_is_left_after_close():
    with WorkerPool(3, work, timeout=20, megabytes=2000) as pool:
        pids = {result[0] for _, result in pool.map([("pid", 0)] * 6)}
        running = pool.submit(("sleep", 30))
        time.sleep(0.2)
        started = time.perf_counter()
    assert time.perf_counter() - started < 5
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    with pytest.raises(EnvironmentUnusable, match="stopped"):  # not the file's fault
        running.result()


def test_one_process_at_least_and_partial_jobs():
    with WorkerPool(0, functools.partial(add, 5), timeout=20, megabytes=2000) as pool:
        assert list(pool.map([1, 2])) == [(1, 6), (2, 7)]


def test_a_job_without_a_name_is_refused():
    with pytest.raises(ValueError, match="imported by name"):
        WorkerPool(1, lambda item: item, timeout=1, megabytes=100)


def test_processes_that_cannot_start_are_no_fault_of_the_items(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with (
        WorkerPool(1, work, timeout=20, megabytes=2000) as pool,
        pytest.raises(EnvironmentUnusable, match="cannot be"),
    ):
        list(pool.map([1]))


PARENT = """
import sys
sys.path[:0] = {path!r}
from radretrieval.storage.worker_pool import WorkerPool
import test_worker_pool
pool = WorkerPool(2, test_worker_pool.{job}, timeout={timeout}, megabytes=2000)
pids = [future.result() for future in [pool.submit({quick!r}) for _ in range(8)]]
print(sorted({{pid if isinstance(pid, int) else pid[0] for pid in pids}}), flush=True)
for _ in range(2):
    pool.submit({slow!r})
import time; time.sleep(60)
"""


@pytest.mark.parametrize(
    ("job", "quick", "slow", "timeout"),
    [
        ("work", ("pid", 0), ("sleep", 0), 30),
        ("work", ("pid", 0), ("sleep", 50), 60),
        ("hang_in_c", 0, 100.0, 0.5),
    ],
    ids=["idle", "busy", "hung in C"],
)
def test_parent_killed_leaves_no_children(job, quick, slow, timeout):
    path = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    code = PARENT.format(path=path, job=job, quick=quick, slow=slow, timeout=timeout)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().strip(b"[]\n").split(b",")]
    assert children
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=15)
    for process in alive:
        process.kill()
    assert not alive

"""Commands that answer at once import nothing that takes its time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "PIL",
    "alembic",
    "imagecodecs",
    "numpy",
    "psycopg",
    "pydicom",
    "safetensors",
    "scipy",
    "skimage",
    "sqlalchemy",
    "tifffile",
    "torch",
}


def imported(*arguments: str) -> set[str]:
    """The modules in memory when `radretrieval ARGUMENTS` ends with exit code 0."""
    code = """
import sys
from radretrieval.cli import main
sys.argv[0] = "radretrieval"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules, file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


@pytest.mark.parametrize("arguments", ["--help", "search --help", "db --help", "train --help", "work --help"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    loaded = imported(*arguments.split())
    assert "radretrieval.cli" in loaded
    assert HEAVY & loaded == set()


def test_the_version_needs_no_command() -> None:
    import radretrieval

    command = [sys.executable, "-m", "radretrieval", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{radretrieval.__version__}\n"


def test_an_interrupted_command_says_what_stays() -> None:
    program = """
import sys
from radretrieval.cli import app, main

@app.command()
def stopped() -> None:
    raise KeyboardInterrupt

sys.argv = ["radretrieval", "stopped"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; what was committed stays, run the command again to go on\n"


def test_a_command_ends_after_what_is_registered_and_without_tearing_the_interpreter_down() -> None:
    program = """
import atexit, os, sys, threading, time
from radretrieval.cli import app, main
from radretrieval.errors import EnvironmentUnusable

class TornDown:
    def __del__(self) -> None:
        os.write(2, b"torn down")

@app.command()
def ended() -> None:
    sys.kept = TornDown()
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    atexit.register(print, "callback", end="")
    raise EnvironmentUnusable("so it is")

sys.argv = ["radretrieval", "ended"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "thread\ncallback", "error: so it is\n")


def test_no_process_of_a_command_dumps_its_memory() -> None:
    program = """
import resource, subprocess, sys
from radretrieval.cli import app, main

@app.command()
def limits() -> None:
    print(resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
    subprocess.run(["sh", "-c", "ulimit -c"])

sys.argv = ["radretrieval", "limits"]
main()
"""
    allowed = ["bash", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "bash", sys.executable, "-c", program]
    assert subprocess.run(allowed, capture_output=True, text=True, check=True).stdout == "0\n0\n"

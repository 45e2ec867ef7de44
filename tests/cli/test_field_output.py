"""Output that cannot be written: a full disk, a reader that has gone, streams that are closed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, Any

import pytest
from conftest import COMMAND, clean_environment

COMMANDS = (["--version"], ["db", "upgrade", "--sql", "--from", "base"])


def run(folder: Path, arguments: list[str], stdout: int | IO[Any], stderr: int | IO[Any] = subprocess.PIPE) -> Any:
    environment = clean_environment(folder / "home", None)
    environment.pop("PYTHONUNBUFFERED", None)  # with it the interpreter's last flush finds nothing to write
    command = [str(COMMAND), *arguments]
    return subprocess.run(command, stdout=stdout, stderr=stderr, env=environment, text=True, timeout=60, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_field_22_a_full_disk_is_no_fault_of_ours(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        for arguments in COMMANDS:
            done = run(tmp_path, arguments, full)
            assert done.returncode == 3
            assert done.stderr == (
                "error: the output cannot be written: No space left on device; make room or send it elsewhere, then "
                "run it again\n"
            )
        # the exit code counts where only the message cannot be written
        assert run(tmp_path, ["status", "--no-such"], subprocess.PIPE, full).returncode == 2
        assert run(tmp_path, ["search"], subprocess.PIPE, full).returncode == 2
        assert run(tmp_path, ["--version"], subprocess.PIPE, full).returncode == 0


def test_field_22_a_reader_that_has_gone_ends_a_command_in_silence(tmp_path: Path) -> None:
    for arguments in COMMANDS:
        reads, writes = os.pipe()
        os.close(reads)
        with os.fdopen(writes, "w") as pipe:
            done = run(tmp_path, arguments, pipe)
        assert (done.returncode, done.stderr) == (0, "")


def test_field_22_streams_that_were_closed_take_nothing(tmp_path: Path) -> None:
    for arguments, code in (*((one, 0) for one in COMMANDS), (["search"], 2)):
        command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", str(COMMAND), *arguments]
        done = subprocess.run(command, env=clean_environment(tmp_path / "home", None), timeout=60, check=False)
        assert done.returncode == code

"""Files that are whole or not there: after an error, after a kill, and in which order the disk is told."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from radretrieval.files import atomic
from radretrieval.files.atomic import replacing, write_bytes


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the operating system, with the file that it is about."""
    made: list[tuple[str, str]] = []

    def noted(name: str, of: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            made.append((name, of(*arguments)))
            return real(*arguments)

        monkeypatch.setattr(atomic.os, name, call)

    noted("fsync", lambda handle: os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
    noted("replace", lambda source, target: target.name)
    monkeypatch.setattr(atomic, "_synced", set())  # as in a process that starts
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_disk_has_the_content_before_the_name_and_then_the_folders(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    write_bytes(folder / "a" / "b" / "file", b"x", parents=True)
    assert calls[0][0] == "fsync"
    assert calls[0][1].endswith(".part")
    assert calls[1:5] == [("replace", "file"), ("fsync", "b"), ("fsync", "a"), ("fsync", "here")]
    # and the folders above, which another process may have made: as far as this one could have
    above = itertools.takewhile(
        lambda place: os.access(place.parent, os.W_OK) and not os.path.ismount(place), folder.parents
    )
    assert calls[5:] == [("fsync", place.name) for place in (tmp_path, *(place.parent for place in above))]
    calls.clear()
    write_bytes(folder / "a" / "b" / "file", b"y", parents=True)
    assert [call[0] for call in calls] == ["fsync", "replace", "fsync"]
    assert (folder / "a" / "b" / "file").read_bytes() == b"y"


def test_a_draft_is_on_the_disk_before_it_has_its_name(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    with atomic.replacing(tmp_path / "file", draft=tmp_path / "draft") as draft:
        draft.write_bytes(b"x")
    assert calls[:2] == [("fsync", "draft"), ("replace", "file")]


def test_a_folder_that_is_removed_and_made_again_is_synced_again(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    for _ in range(2):
        calls.clear()
        write_bytes(tmp_path / "a" / "b" / "file", b"x", parents=True)
        assert calls[1:4] == [("replace", "file"), ("fsync", "b"), ("fsync", "a")]
        assert ("fsync", tmp_path.name) in calls
        shutil.rmtree(tmp_path / "a")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_text("old")

    def failing() -> None:
        with replacing(tmp_path / "a") as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(type(error)):
        failing()
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")


def test_a_killed_process_leaves_the_old_file_and_a_hidden_draft(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    source = (
        "import os, signal, pathlib; from radretrieval.files.atomic import replacing\n"
        "with replacing(pathlib.Path('a')) as draft:\n"
        "    draft.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, env=os.environ | {"PYTHONPATH": _ROOT})
    assert done.returncode == -signal.SIGKILL
    hidden, old = names(tmp_path)
    assert (old, (tmp_path / "a").read_text()) == ("a", "old")
    assert hidden.startswith(".")
    assert hidden.endswith(".part")


_ROOT = str(Path(atomic.__file__).parents[2])


def test_a_file_that_is_there_stays_where_it_may_not_be_replaced(tmp_path: Path) -> None:
    write_bytes(tmp_path / "key", b"first", overwrite=False)
    write_bytes(tmp_path / "key", b"second", overwrite=False)
    assert (names(tmp_path), (tmp_path / "key").read_bytes()) == (["key"], b"first")


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o600, 0o600), (0o644, 0o644)])
def test_permissions(tmp_path: Path, mode: int | None, expected: int) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == expected


def test_a_private_file_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = os.open

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            made.append(mode)
        return real(path, flags, mode)

    monkeypatch.setattr(atomic.os, "open", opened)
    write_bytes(tmp_path / "a", b"secret", mode=0o644)
    assert made == [0o600]


def test_a_folder_that_may_not_be_listed_is_synced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.open, []

    def opened(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if Path(path) == tmp_path:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(atomic.os, "open", opened)
    monkeypatch.setattr(atomic.os, "sync", lambda: synced.append(1))
    write_bytes(tmp_path / "a", b"x")
    assert (names(tmp_path), synced) == (["a"], [1])

"""Files for people: checked before the work, and complete or not there after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from radretrieval.errors import UsageError
from radretrieval.files.output import check_output, output_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_target_is_checked_and_nothing_is_left(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_bytes(b"old")
    assert check_output(target, ".csv", "list") == target
    assert check_output(tmp_path / "B.CSV", ".csv", "list").name == "B.CSV"
    assert names(tmp_path) == ["a.csv"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "a.txt is not a name for a list; let it end in .csv"),
        ("no/a.csv", "no for the list does not exist; make it or name another"),
        ("folder.csv", "folder.csv is a folder; name a file for the list"),
        ("x" * 252 + ".csv", "cannot write the list .*: File name too long; name another file"),
    ],
)
def test_what_cannot_be_written_is_refused_beforehand(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=message):
        check_output(tmp_path / name, ".csv", "list")
    assert names(tmp_path) == ["folder.csv"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_is_broken_off_leaves_the_old_file_alone(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    expected = UsageError if isinstance(error, OSError) else KeyboardInterrupt

    def broken_off() -> None:
        with output_file(target, "list") as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(expected):
        broken_off()
    assert (names(tmp_path), target.read_text()) == (["a.csv"], "old")
    with output_file(target, "list") as draft:
        draft.write_text("new")
    assert (names(tmp_path), target.read_text()) == (["a.csv"], "new")

"""Decoded films on disk: kept, in order, damaged, killed, other code, other sizes; and the memory that they take."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radretrieval.errors import EnvironmentUnusable
from radretrieval.storage import decoded
from radretrieval.storage.decoded import MappedFilms, open_decoded
from radretrieval.storage.source import SourceFile

SIDE = 24


def film(number: int, frame: int = 1) -> SourceFile:
    return SourceFile(f"file:///{number}.dcm" + ("" if frame == 1 else f"#frame={frame}"), number.to_bytes(32, "big"))


def pixels(number: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).random((SIDE, SIDE), np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "training"


def fill(folder: Path, wanted: list[int]) -> tuple[list[int], MappedFilms]:
    """The numbers that had to be decoded, and the films."""
    with open_decoded(folder, SIDE) as films:
        missing = [number for number in wanted if film(number) not in films]
        for number in missing:
            films.add(film(number), pixels(number))
        return missing, films.films([film(number) for number in wanted])


def right(films: MappedFilms, wanted: list[int]) -> bool:
    return np.array_equal(films.pixels, np.stack([pixels(number) for number in wanted]).astype(np.float16))


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("*.bin")
    return path


def test_each_film_is_decoded_once(folder: Path) -> None:
    missing, first = fill(folder, [3, 1, 2])
    assert (missing, right(first, [3, 1, 2])) == ([3, 1, 2], True)
    missing, again = fill(folder, [3, 1, 2])
    assert (missing, right(again, [3, 1, 2])) == ([], True)
    missing, more = fill(folder, [1, 2, 3, 4])  # another order, and one more
    assert (missing, right(more, [1, 2, 3, 4])) == ([4], True)
    missing, fewer = fill(folder, [4, 2])
    assert (missing, right(fewer, [4, 2])) == ([], True)
    assert the_file(folder).stat().st_size == 2 * (40 + 2 * SIDE**2)  # what no training needs is gone
    assert right(first, [3, 1, 2])  # whoever learns from an older file goes on with it
    first.release()
    assert right(first, [3, 1, 2])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert the_file(folder).stat().st_mode & 0o777 == 0o600


def test_frames_of_a_file_are_films_of_their_own(folder: Path) -> None:
    with open_decoded(folder, SIDE) as films:
        for frame in (1, 2):
            assert film(1, frame) not in films
            films.add(film(1, frame), pixels(frame))
        assert right(films.films([film(1, 2), film(1)]), [2, 1])


@pytest.mark.parametrize("cut", [1, 40, 40 + 2 * SIDE**2 + 7])
def test_a_killed_run_keeps_the_whole_films(folder: Path, cut: int) -> None:
    fill(folder, list(range(200)))
    path = the_file(folder)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    missing, films = fill(folder, list(range(200)))
    assert (missing, right(films, list(range(200)))) == ([199] if cut <= 40 else [198, 199], True)


def test_damaged_films_are_decoded_again(folder: Path) -> None:
    _, mapped = fill(folder, list(range(200)))
    record = 40 + 2 * SIDE**2
    with the_file(folder).open("r+b") as file:
        file.seek(150 * record + 100)
        file.write(b"\xff")
    with open_decoded(folder, SIDE):
        mapped.release()
        # a training that has mapped the file goes on reading what it had, and gets no SIGBUS
        assert np.isfinite(mapped.pixels[199]).all()
    missing, films = fill(folder, list(range(200)))
    assert (missing, right(films, list(range(200)))) == (list(range(150, 200)), True)


def test_other_code_decodes_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, [1])
    before = the_file(folder)
    monkeypatch.setattr(decoded, "_LIBRARIES", ("numpy", "no-such-library"))
    assert fill(folder, [1])[0] == [1]
    assert the_file(folder) != before
    with open_decoded(folder, SIDE + 1) as films:  # another size is kept beside it
        assert film(1) not in films
    assert len(list(folder.glob("*.bin"))) == 2


def test_two_trainings_read_one_after_the_other(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = []
    with open_decoded(folder, SIDE) as films:
        other = threading.Thread(target=lambda: found.append(fill(folder, [1, 2])[0]))
        other.start()
        other.join(0.3)
        assert other.is_alive()
        films.add(film(1), pixels(1))
    other.join(20)
    assert found == [[2]]
    assert "waiting until it has read them" in caplog.text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_HOME"), open_decoded(tmp_path / "home" / "x", SIDE):
        pass


PROGRAM = """
import sys, numpy as np
from pathlib import Path
from radretrieval.storage.decoded import open_decoded
from radretrieval.storage.source import SourceFile

def memory(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) / 1024

count = int(sys.argv[1])
files = [SourceFile(f"file:///{i}", i.to_bytes(32, "big")) for i in range(count)]
image = np.full((128, 128), 0.25, np.float32)
before = memory("VmRSS")
with open_decoded(Path(sys.argv[2]), 128) as films:
    for file in files:
        films.add(file, image)
    films.films(files[::-1])  # written anew, in another order
    found = films.films(files[::-1])
for epoch in range(2):
    for start in range(0, count, 64):
        assert found.pixels[start : start + 64].astype(np.float32).mean() == 0.25
        found.release()
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_films(tmp_path: Path) -> None:
    def peak(count: int) -> float:
        command = [sys.executable, "-c", PROGRAM, str(count), str(tmp_path / str(count))]
        return float(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)

    # 2000 films take 62 MiB on disk
    assert peak(2000) < peak(200) + 15

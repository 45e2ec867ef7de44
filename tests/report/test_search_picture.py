"""The picture of a search."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radretrieval.errors import UsageError
from radretrieval.report.drawing import code_lines, length, save, shortened
from radretrieval.report.likelihood import in_words
from radretrieval.report.search_picture import PicturedImage, _text, compose
from radretrieval.search.request import Explanation

GREY = np.linspace(0, 1, 60 * 80, dtype=np.float32).reshape(60, 80)
CODE = "1121-120-942-700"
ROI = (255, 190, 40)
SAME, OTHER = (0, 114, 178), (213, 94, 0)


def drawn(path: Path, query: PicturedImage, *hits: PicturedImage) -> np.ndarray:
    save(path, lambda: compose(query, hits))
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(int)


def where(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (image == colour).all(-1)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 10, 11, 20])
def test_any_number_of_hits_has_its_own_frame(tmp_path: Path, count: int) -> None:
    image = drawn(
        tmp_path / "a.png",
        PicturedImage(GREY),
        *[PicturedImage(GREY, cnnc_distance=1, rbc_distance=2, correct=True)] * count,
    )
    corners = where(image, SAME)
    full_rows = corners.sum(1)[corners.sum(1) >= 216] // 216
    assert full_rows.sum() == count * 4, "two pixels of frame above and two below each hit"
    assert image.shape[1] <= 1600


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3000, 40), (64, 64), (1500, 1200)])
def test_any_shape_fits(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = np.full(shape, 0.5, np.float32)
    plain = drawn(tmp_path / "a.png", PicturedImage(GREY), PicturedImage(GREY))
    image = drawn(tmp_path / "b.png", PicturedImage(pixels), PicturedImage(pixels))
    assert image.shape == plain.shape
    assert where(image, (128, 128, 128)).any()


def test_the_region_is_drawn_where_it_is(tmp_path: Path) -> None:
    blank = PicturedImage(np.zeros((100, 200), np.float32))
    image = drawn(tmp_path / "a.png", PicturedImage(blank.pixels, roi=(100, 25, 50, 50)))
    rows, columns = np.nonzero(where(image, ROI))
    scale, left, top = 330 / 200, 24, 24 + 30 + (330 - 165) // 2
    assert columns.min() == pytest.approx(left + 100 * scale, abs=2)
    assert columns.max() == pytest.approx(left + 150 * scale, abs=2)
    assert rows.min() == pytest.approx(top + 25 * scale, abs=2)
    assert rows.max() == pytest.approx(top + 75 * scale, abs=2)


@pytest.mark.parametrize("roi", [(-50, -50, 500, 500), (79, 59, 1, 1), (0, 0, 0, 0), (500, 500, 10, 10)])
def test_a_region_at_or_over_the_edge_stays_in_its_tile(tmp_path: Path, roi: tuple[int, int, int, int]) -> None:
    image = drawn(tmp_path / "a.png", PicturedImage(GREY, roi=roi))
    rows, columns = np.nonzero(where(image, ROI))
    assert columns.size
    assert columns.min() >= 24
    assert columns.max() < 24 + 330
    assert rows.min() >= 54
    assert rows.max() < 54 + 330


def test_right_wrong_and_unknown_have_different_frames(tmp_path: Path) -> None:
    hits = [PicturedImage(GREY, correct=correct) for correct in (True, False, None)]
    image = drawn(tmp_path / "a.png", PicturedImage(GREY), *hits)
    first, second, third = (image[200, 390 + k * 234 - 6 : 390 + k * 234 + 6] for k in range(3))
    assert where(first, SAME).any()
    assert where(second, OTHER).any()
    assert not where(third, SAME).any()
    assert not where(third, OTHER).any()


def test_a_file_that_is_gone_is_said_so(tmp_path: Path) -> None:
    gone = drawn(
        tmp_path / "a.png", PicturedImage(None), PicturedImage(None, ("image 7",), CODE, (1, 2, 3, 4), 3, 4, False)
    )
    assert not where(gone, ROI).any(), "no box without an image"
    assert where(gone, (228, 228, 232)).sum() > 100_000


def test_pixels_that_are_not_numbers_or_out_of_range_are_drawn(tmp_path: Path) -> None:
    pixels = GREY.copy()
    pixels[:10], pixels[10:20], pixels[20:30] = np.nan, np.inf, -3
    drawn(tmp_path / "a.png", PicturedImage(pixels), PicturedImage(pixels))


def test_codes_come_with_short_words() -> None:
    assert [words for words, *_ in code_lines(CODE)] == [CODE, "left knee", "AP"]
    assert [words for words, *_ in code_lines("1123-127-500-000")][1:] == ["chest", "AP / supine"]
    assert [words for words, *_ in code_lines("1123-211-500-000")][1:] == [
        "chest",
        "lateral, right-left / inspiration",
    ]
    assert [words for words, *_ in code_lines("1121-4a0-000-700")][1:] == ["LAO"]
    assert [words for words, *_ in code_lines("foreign label")] == ["foreign label"]
    assert code_lines(None) == []


@pytest.mark.parametrize("width", [0, 30, 100, 216])
def test_long_words_are_cut_in_the_middle(width: int) -> None:
    path = "/archive/of/the/hospital/2019/" * 5 + "name.png"
    short = shortened(path, 13, width)
    assert length(short, 13) <= max(width, length("…", 13))
    if width == 216:
        assert short.startswith("/archive")
        assert short.endswith("name.png")
    assert shortened("short", 13, 216) == "short"


@pytest.mark.parametrize("probability", [0.999, 0.9, 0.5, 0.1, 0.001])
def test_the_words_under_a_hit_are_not_cut(probability: float) -> None:
    agree: dict[str, bool | None] = dict.fromkeys("TDAB", True)
    why = Explanation(1000, 0.4444, 0.4444, (272,) * 16, agree, agree)
    said = f"same code: {in_words(probability)}"
    hit = PicturedImage(GREY, cnnc_distance=1000, rbc_distance=4352, remark=said, explanation=why)
    for line, size, _ in _text(hit):
        assert shortened(line, size, 216) == line


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_warning_is_a_banner_over_the_whole_width(tmp_path: Path, count: int) -> None:
    hits = [PicturedImage(GREY)] * count
    plain = drawn(tmp_path / "a.png", PicturedImage(GREY), *hits)
    image = drawn(tmp_path / "b.png", PicturedImage(GREY, warning="Nothing similar in the archive"), *hits)
    rows, columns = np.nonzero(where(image, OTHER))
    assert (columns.min(), columns.max()) == (24, image.shape[1] - 25)
    assert (rows.min(), rows.max()) == (24, 63)
    assert (image[24 + 58 :] == plain[24:]).all(), "the query and the hits stand under it"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/a.png", "does not exist"),
        ("a.jpg", "end in .png"),
        ("a", "end in .png"),
        ("folder.png", "is a folder"),
    ],
)
def test_a_bad_target_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=message):
        save(tmp_path / name, lambda: compose(PicturedImage(GREY), []))
    assert os.listdir(tmp_path) == ["folder.png"]


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 252 + ".png")
    with pytest.raises(UsageError, match="cannot write the picture"):
        save(target, lambda: compose(PicturedImage(GREY), []))
    assert os.listdir(tmp_path) == []


def test_an_older_picture_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.PNG"
    target.write_bytes(b"old")
    drawn(target, PicturedImage(GREY), PicturedImage(GREY))
    assert os.listdir(tmp_path) == ["a.PNG"]

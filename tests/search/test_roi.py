"""The ROI's match against the literal sliding dot product, in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radretrieval.errors import UsageError
from radretrieval.search import roi as roi_module
from radretrieval.search.roi import Region, check_roi, match, match_all, parse_roi


def literal(query: np.ndarray, roi: tuple[int, int, int, int], image: np.ndarray) -> tuple[int, int]:
    """x and y of the first maximum of the paper's dot product; integer images, no rounding anywhere."""
    x, y, width, height = roi
    query_mean = Fraction(int(query.sum()), query.size)
    image_mean = Fraction(int(image.sum()), image.size)
    part = [[int(v) - query_mean for v in row] for row in query[y : y + height, x : x + width]]
    best: tuple[Fraction, int, int] | None = None
    for top in range(image.shape[0] - height + 1):
        for left in range(image.shape[1] - width + 1):
            product = sum(
                part[r][c] * (int(image[top + r, left + c]) - image_mean) for r in range(height) for c in range(width)
            )
            if best is None or product > best[0]:
                best = (Fraction(product), left, top)
    assert best is not None
    return best[1], best[2]


def grey(image: np.ndarray) -> np.ndarray:
    return (image / 255).astype(np.float32)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int, int, int], np.ndarray]:
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    levels = draw(st.sampled_from([2, 3, 256]))  # few levels: many ties
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    query, image = rng.integers(0, levels, (2, rows, columns))
    if levels < 256:
        query, image = query * (255 // (levels - 1)), image * (255 // (levels - 1))
    width, height = draw(st.integers(1, columns)), draw(st.integers(1, rows))
    x, y = draw(st.integers(0, columns - width)), draw(st.integers(0, rows - height))
    return query, (x, y, width, height), image


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_the_literal_method(case: tuple[np.ndarray, tuple[int, int, int, int], np.ndarray]) -> None:
    query, roi, image = case
    found = match(grey(query), roi, grey(image))
    assert (found.x, found.y) == literal(query, roi, image)
    assert (found.width, found.height) == roi[2:]
    assert -1 <= found.score <= 1


def test_equals_scipy_on_a_larger_image() -> None:
    from scipy.signal import correlate2d

    rng = np.random.default_rng(0)
    query, image = rng.random((2, 90, 70), np.float32)
    part = (query - query.mean())[20:50, 10:40].astype(np.float64)
    products = correlate2d(image - image.mean(dtype=np.float64), part, mode="valid")
    y, x = np.unravel_index(np.argmax(products), products.shape)
    found = match(query, (10, 20, 30, 30), image)
    assert (found.x, found.y) == (x, y)
    window = image[y : y + 30, x : x + 30].ravel()
    assert found.score == pytest.approx(np.corrcoef(part.ravel(), window)[0, 1], abs=1e-4)


def test_finds_the_planted_region_where_it_was_moved_to() -> None:
    rng = np.random.default_rng(1)
    query = rng.random((120, 160), np.float32) * np.float32(0.2) + np.float32(0.4)
    query[40:70, 50:90] = rng.random((30, 40), np.float32)
    image = np.roll(query, (25, -30), axis=(0, 1))
    assert match(query, (50, 40, 40, 30), image) == Region(20, 65, 40, 30, pytest.approx(1.0))
    assert match(query, (50, 40, 40, 30), query) == Region(50, 40, 40, 30, pytest.approx(1.0))


def test_first_of_many_equal_places_wins() -> None:
    tile = np.random.default_rng(2).integers(0, 256, (16, 16))
    image = np.tile(tile, (20, 20))  # the same window at 19 × 19 places
    rng = np.random.default_rng(3)
    for _ in range(5):
        x, y = (int(v) for v in rng.integers(0, 300, 2))
        found = match(grey(image), (x, y, 16, 16), grey(image))
        assert found == Region(x % 16, y % 16, 16, 16, 1.0)


@pytest.mark.parametrize("side", [300, 512])
def test_the_transform_rounds_to_the_exact_integers(side: int) -> None:
    """Every pixel at an extreme of 16 bits, where the error of the FFT is largest."""
    rng = np.random.default_rng(4)
    image = rng.integers(0, 2, (side, side)) * 65535
    query = rng.integers(0, 2, (side, side)) * 65535
    template = roi_module._Template.of(query, (3, 5, side - 20, side - 20), image.shape)
    products = template._dot_products(image)
    part = template.pixels - int(query.sum()) // query.size
    for top, left in ((0, 0), (20, 20), (7, 13)):
        assert products[top, left] == (part * image[top : top + side - 20, left : left + side - 20]).sum()


def test_roi_of_the_whole_image_has_one_place() -> None:
    query, image = np.random.default_rng(5).random((2, 31, 17), np.float32)
    found = match(query, (0, 0, 17, 31), image)
    assert found[:4] == (0, 0, 17, 31)
    assert found.score == pytest.approx(np.corrcoef(query.ravel(), image.ravel())[0, 1], abs=1e-4)


def test_one_pixel_is_found_at_the_brightest_or_darkest() -> None:
    image = np.full((8, 9), 0.5, np.float32)
    image[3, 4], image[6, 2] = 1, 0
    assert match(image, (4, 3, 1, 1), image) == Region(4, 3, 1, 1, 0.0)
    assert match(image, (2, 6, 1, 1), image) == Region(2, 6, 1, 1, 0.0)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_constant_images_match_at_the_first_place_with_no_score(level: float) -> None:
    flat = np.full((20, 30), level, np.float32)
    query = np.random.default_rng(6).random((20, 30), np.float32)
    assert match(query, (5, 6, 7, 8), flat) == Region(0, 0, 7, 8, 0.0)
    assert match(flat, (5, 6, 7, 8), flat) == Region(0, 0, 7, 8, 0.0)
    assert match(flat, (5, 6, 7, 8), query) == Region(0, 0, 7, 8, 0.0)


def smooth(rows: int, columns: int) -> np.ndarray:
    """A scene of soft blobs, the same at any resolution."""
    y, x = (np.arange(rows) + 0.5)[:, None] / rows, (np.arange(columns) + 0.5) / columns
    scene = 0.2 + 0.6 * np.exp(-((x - 0.3) ** 2 + (y - 0.6) ** 2) / 0.005)
    return (scene + 0.2 * np.exp(-((x - 0.8) ** 2 + (y - 0.2) ** 2) / 0.01)).astype(np.float32)


@pytest.mark.parametrize("shape", [(100, 100), (333, 333), (600, 600), (1500, 1500)])
def test_images_of_other_sizes_get_the_box_in_their_own_pixels(shape: tuple[int, int]) -> None:
    found = match(smooth(200, 200), (40, 100, 40, 40), smooth(*shape))
    factor = shape[0] / 200
    assert found[:4] == pytest.approx([40 * factor, 100 * factor, 40 * factor, 40 * factor], abs=1.5 * max(1, factor))
    assert found.score > 0.99


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(1, 64),
    st.data(),
)
def test_the_box_is_always_inside_the_image(
    query_shape: tuple[int, int], shape: tuple[int, int], side: int, data: st.DataObject
) -> None:
    width, height = data.draw(st.integers(1, query_shape[1])), data.draw(st.integers(1, query_shape[0]))
    x, y = (
        data.draw(st.integers(0, query_shape[1] - width)),
        data.draw(st.integers(0, query_shape[0] - height)),
    )
    rng = np.random.default_rng(7)
    found = match(rng.random(query_shape, np.float32), (x, y, width, height), rng.random(shape, np.float32), side)
    check_roi(found[:4], *shape)
    assert -1 <= found.score <= 1


@pytest.mark.parametrize(
    ("original", "side", "start", "length", "expected"),
    [
        (200, 100, 5, 5, 4),  # 2.5 … 5 is 3 … 5
        (200, 100, 6, 5, 6),  # 3 … 5.5 is 3 … 6
        (200, 100, 1, 6, 6),  # 0.5 … 3.5 is 1 … 4
        (400, 100, 4, 5, 4),  # 1 … 2.25 is 1 … 2
        (400, 100, 4, 7, 8),  # 1 … 2.75 is 1 … 3
        (150, 100, 0, 3, 3),
        (150, 100, 0, 2, 2),  # 0 … 1.33 is 0 … 1, and 1.5 pixels of the image are 2
        (150, 100, 0, 4, 5),  # 0 … 2.67 is 0 … 3, and 4.5 pixels of the image are 5
    ],
)
def test_places_between_pixels_are_rounded_half_up(
    original: int, side: int, start: int, length: int, expected: int
) -> None:
    """Where nothing can be told apart the match is the first place, so that its size shows the edges alone."""
    flat = np.zeros((original, original), np.float32)
    wide, high = (start, 0, length, original), (0, start, original, length)
    assert match(flat, wide, flat, side) == Region(0, 0, expected, original, 0.0)
    assert match(flat, high, flat, side) == Region(0, 0, original, expected, 0.0)


def test_a_roi_wider_than_the_image_is_cut_around_its_centre() -> None:
    query = smooth(100, 200)
    found = match(query, (0, 10, 200, 50), query[:, 50:150])
    assert found.width == 100  # as wide as the image: at one working size both are 200 long
    assert found.x == 0


def test_all_images_as_one_by_one() -> None:
    rng = np.random.default_rng(8)
    query = rng.random((60, 50), np.float32)
    images = [rng.random(shape, np.float32) for shape in ((60, 50), (50, 60), (60, 50), (90, 20), (30, 30))]
    assert match_all(query, (5, 6, 20, 10), images) == [match(query, (5, 6, 20, 10), image) for image in images]
    assert match_all(query, (5, 6, 20, 10), []) == []


def test_brightness_and_contrast_of_the_image_do_not_matter() -> None:
    query, image = np.random.default_rng(9).integers(0, 256, (2, 40, 40))
    first = match(grey(query), (3, 4, 9, 8), grey(image))
    other = match(grey(query), (3, 4, 9, 8), (image / 1024 + 0.5).astype(np.float32))
    assert other[:4] == first[:4]
    assert other.score == pytest.approx(first.score, abs=1e-4)


@pytest.mark.parametrize(
    "roi",
    [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0), (0, 0, 41, 5), (0, 0, 5, 31), (40, 0, 1, 1)],
)
def test_a_roi_outside_is_refused_by_name(roi: tuple[int, int, int, int]) -> None:
    image = np.zeros((30, 40), np.float32)
    with pytest.raises(UsageError) as caught:
        match(image, roi, image)
    message = str(caught.value)
    assert ",".join(map(str, roi)) in message
    assert "40 pixels wide" in message
    assert "30 high" in message
    assert "x,y,width,height" in message


def test_parse() -> None:
    assert parse_roi("10,20,30,40") == (10, 20, 30, 40)
    assert parse_roi(" 1, 2 ,3,4") == (1, 2, 3, 4)
    for text in ("", "1,2,3", "1,2,3,4,5", "a,2,3,4", "1.5,2,3,4", "1 2 3 4"):
        with pytest.raises(UsageError, match="x,y,width,height"):
            parse_roi(text)


def test_names_what_is_wrong() -> None:
    image = np.zeros((5, 5), np.float32)
    with pytest.raises(ValueError, match="longest_side is 0"):
        match(image, (0, 0, 1, 1), image, 0)
    with pytest.raises(ValueError, match=r"needed is \(rows, columns\)"):
        match(image, (0, 0, 1, 1), image[None])
    with pytest.raises(ValueError, match="NaN or infinite"):
        match(image, (0, 0, 1, 1), np.full((5, 5), np.nan, np.float32))

"""The region with its surroundings: found in a changed film, not found in another's; the same on any machine."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import radretrieval as rr
from radretrieval.config import Settings
from radretrieval.profile import REGION
from radretrieval.search import cells, region
from radretrieval.search.cells import Cells
from radretrieval.search.film_cells import FilmCells
from radretrieval.search.query import SearchQuery
from radretrieval.search.region import find_region, find_regions
from radretrieval.search.request import Request, check_request
from radretrieval.search.roi import Region, match, match_all
from radretrieval.storage.reading import Reading
from radretrieval.storage.source import SourceFile, SourceReader

ROI = (60, 50, 40, 36)


def film(seed: int, rows: int = 192, columns: int = 160) -> np.ndarray:
    """Soft shapes that no other seed has, 0…1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns] / max(rows, columns)
    image = np.zeros((rows, columns))
    for _ in range(14):
        middle, size = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.25, 2)
        apart = ((y - middle[0]) / size[0]) ** 2 + ((x - middle[1]) / size[1]) ** 2
        image += rng.uniform(-1, 1) / (1 + apart**4)
    image -= image.min()
    return (image / image.max()).astype(np.float32)


QUERY = film(0)


def iou(found: rr.Region, box: tuple[float, float, float, float]) -> float:
    return region._overlap(tuple(map(float, found[:4])), box)  # type: ignore[arg-type]


def test_the_identical_film_answers_the_region_itself() -> None:
    assert rr.find_region(QUERY, ROI, QUERY) == rr.Region(*ROI, 1.0, True)


@pytest.mark.parametrize(("down", "across"), [(12, -9), (-20, 15), (3, 2)])
def test_finds_the_region_where_it_was_moved_to(down: int, across: int) -> None:
    found = find_region(QUERY, ROI, np.roll(QUERY, (down, across), axis=(0, 1)))
    assert found.found
    # to a pixel of the working size, which is half of the film's
    assert (found.x, found.y) == (pytest.approx(ROI[0] + across, abs=2), pytest.approx(ROI[1] + down, abs=2))


def test_brightness_contrast_gamma_size_and_noise_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    darker = (0.3 + 0.4 * QUERY**1.5 + rng.normal(0, 0.02, QUERY.shape)).astype(np.float32)
    assert iou(find_region(QUERY, ROI, darker), ROI) > 0.8
    larger = np.repeat(np.repeat(QUERY, 3, axis=0), 3, axis=1)
    found = find_region(QUERY, ROI, larger)
    assert found.found
    assert iou(found, tuple(3 * side for side in ROI)) > 0.9  # type: ignore[arg-type]


def test_a_bright_spot_draws_the_papers_way_and_not_this_one() -> None:
    marked = QUERY * np.float32(0.6)
    marked[150:190, 5:60] = 1
    assert iou(match(QUERY, ROI, marked), ROI) < 0.2
    assert iou(find_region(QUERY, ROI, marked), ROI) > 0.8


def test_inverted_grey_is_found_with_either_polarity() -> None:
    same, either = (find_region(QUERY, ROI, 1 - QUERY, polarity=polarity) for polarity in ("same", "either"))
    assert either == rr.Region(*ROI, either.score, True)
    assert either.score > 0.95 > same.score


def test_the_region_of_another_film_is_not_found() -> None:
    others = [find_region(QUERY, ROI, film(seed)) for seed in range(1, 11)]
    assert sum(found.found for found in others) <= 1, "blobs are alike by chance"
    assert all(found.found == (found.score >= REGION.least_score) for found in others)


def test_flat_films_and_flat_regions_are_not_found() -> None:
    flat = np.full((64, 64), 0.5, np.float32)
    for found in (
        find_region(QUERY, ROI, flat),
        find_region(flat, (3, 4, 9, 8), QUERY),
        find_region(flat, (3, 4, 9, 8), flat),
    ):
        assert found.score <= 0
        assert not found.found


@pytest.mark.parametrize("shape", [(1, 1), (2, 200), (200, 2), (5, 7), (96, 97), (31, 500)])
def test_the_box_is_inside_whatever_the_film(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(2).random(shape, np.float32)
    asked = [(QUERY, (0, 0, 160, 192), image), (QUERY, ROI, image), (QUERY, (0, 0, 8, 8), image)]
    asked += [(image, (0, 0, 8, 8), QUERY)] if min(shape) >= 8 else []
    for query, roi, target in asked:
        x, y, width, height = find_region(query, roi, target)[:4]
        assert min(width, height) >= 1
        assert 0 <= x <= target.shape[1] - width
        assert 0 <= y <= target.shape[0] - height


def test_many_films_are_answered_as_each_alone() -> None:
    images = [film(seed) for seed in range(3)]
    assert find_regions(QUERY, ROI, images) == [find_region(QUERY, ROI, image) for image in images]


def test_sums_are_exact_whatever_the_rounding_of_the_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of both films are whole numbers, and so are their sums: an error of another machine vanishes."""
    image = film(3)
    before = find_region(QUERY, ROI, image)
    exact = cells.transform

    def disturbed(planes: np.ndarray) -> np.ndarray:
        spectra = exact(planes)
        return spectra * (1 + 1e-14 * np.random.default_rng(4).standard_normal(spectra.shape))

    monkeypatch.setattr(cells, "transform", disturbed)
    monkeypatch.setattr(region, "transform", disturbed)
    assert find_region(QUERY, ROI, image) == before


def test_equals_the_sums_by_hand() -> None:
    """Grey and edges at one shift, without a transform."""
    a, b = Cells.of(QUERY), Cells.of(film(5))
    template = region._Template(a, (8.0, 9.0, 10.0, 7.0))
    down, across = np.array([4]), np.array([-3])
    for window, spectra in zip(template.windows, template.spectra, strict=True):
        sums = region._sums(spectra, b.spectra, down, across)[:, 0, 0]
        rows, columns = a.grey.shape
        cut = window[: rows - 4, 3:]
        mine, theirs = a.planes[:, : rows - 4, 3:], b.planes[:, 4:, : columns - 3]
        by_hand = [(cut * mine[plane]).sum() for plane in range(4)] + [
            (cut * theirs[plane]).sum() for plane in (1, 2, 3)
        ]
        by_hand += [(cut * mine[1] * theirs[1]).sum(), (cut * mine[4:] * theirs[4:]).sum()]
        assert sums.tolist() == by_hand


@pytest.mark.parametrize("roi", [(0, 0, 1, 1), (3, 4, 7, 40), (3, 4, 40, 7)])
def test_a_region_of_a_few_pixels_is_refused_but_by_the_papers_way(roi: tuple[int, int, int, int]) -> None:
    with pytest.raises(rr.UsageError, match=rf"ROI {','.join(map(str, roi))} is too small.*at least 8.*paper"):
        find_region(QUERY, roi, QUERY)
    [found] = match_all(QUERY, roi, [QUERY], 512)
    assert found.found


def test_what_is_not_possible_is_refused() -> None:
    with pytest.raises(rr.UsageError, match="does not lie inside"):
        find_region(QUERY, (150, 0, 20, 5), QUERY)
    with pytest.raises(rr.UsageError, match="same, either"):
        find_region(QUERY, ROI, QUERY, polarity="both")
    with pytest.raises(ValueError, match="NaN or infinite"):
        find_region(QUERY, ROI, np.full((9, 9), np.nan, np.float32))
    with pytest.raises(ValueError, match="needed is"):
        find_region(QUERY, ROI, np.zeros((9, 9, 3), np.float32))  # type: ignore[arg-type]


def test_a_request_names_the_way_and_the_polarity(tmp_path: Path) -> None:
    images = [film(1), 1 - QUERY]
    settings, files = Settings(home=tmp_path), []
    for place, pixels in enumerate([QUERY, *images]):
        path = tmp_path / f"{place}.png"
        Image.fromarray(np.rint(pixels * 65535).astype(np.uint16)).save(path)
        files.append(SourceFile(path.as_uri(), hashlib.sha256(path.read_bytes()).digest()))
    query, *images = (rr.read_image(tmp_path / f"{place}.png").pixels for place in range(3))

    def asked(request: Request, films: FilmCells) -> list[Region | None]:
        asking = SearchQuery.of(tmp_path / "0.png", settings)
        return [one.region for one in films.find(asking, request, files[1:], SourceReader(Reading.of(settings)), 512)]

    ways = {
        "paper": match_all(query, ROI, images, 512),
        "context": find_regions(query, ROI, images),
    }
    for way, expected in ways.items():
        assert asked(Request(1, roi=ROI, roi_method=way), FilmCells()) == expected
    either, kept = Request(1, roi=ROI, roi_polarity="either"), FilmCells(most=2)
    expected = find_regions(query, ROI, images, polarity="either")
    assert asked(either, kept) == asked(either, kept) == expected
    other = replace(either, roi=(20, 30, 40, 50))  # a region that is moved meets the films that are kept
    assert asked(other, kept) == find_regions(query, (20, 30, 40, 50), images, polarity="either")
    for wrong in ({"roi_method": "edges"}, {"roi_polarity": "both"}, {"roi_method": "paper", "roi_polarity": "either"}):
        with pytest.raises(rr.UsageError, match="--roi-"):
            check_request(Request(1, roi=ROI, **wrong))  # type: ignore[arg-type]

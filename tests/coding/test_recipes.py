"""What training does to films, and what it asks of the scores."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from radretrieval.coding.recipes import FineTuningRecipe, moved, shifted
from radretrieval.profile import FineTuning

STILL = FineTuning(shift=0.0, rotation=0.0, scale=0.0, gamma=0.0, label_smoothing=0.0, logit_adjustment=0.0)
HAND, FOOT, CHEST = "1121-120-414-700", "1121-120-944-700", "1123-127-500-000"


def test_shifts_are_small_and_leave_the_picture_whole() -> None:
    image = torch.zeros(1, 1, 20, 20)
    image[0, 0, 10, 10] = 1
    draw = torch.Generator().manual_seed(0)
    places = set()
    for _ in range(200):
        moved = shifted(image, 0.1, draw)
        assert moved.shape == image.shape
        assert float(moved.sum()) == 1
        row, column = divmod(int(moved.argmax()), 20)
        places.add((row - 10, column - 10))
    assert {abs(step) for place in places for step in place} == {0, 1, 2}
    assert len(places) == 25
    assert torch.equal(shifted(image, 0.0, draw), image)


def blob(row: int, column: int, side: int = 40) -> torch.Tensor:
    image = torch.zeros(1, 1, side, side)
    image[0, 0, row - 1 : row + 2, column - 1 : column + 2] = 1
    return image


def centre(image: torch.Tensor) -> tuple[float, float]:
    rows, columns = (torch.arange(image.shape[-1], dtype=torch.float32) for _ in range(2))
    weight = image[0, 0] / image.sum()
    return float((weight.sum(1) * rows).sum()), float((weight.sum(0) * columns).sum())


def test_a_film_that_may_not_move_stays_as_it_is() -> None:
    images = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(moved(images, STILL, torch.Generator()), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "row", "column", "reach"),
    [
        ({"shift": 0.1}, 20, 20, 4.1),  # a tenth of 40 pixels
        ({"rotation": 8.0}, 20, 36, 16.5 * 0.14),  # 16.5 pixels from the middle, times sin 8°
        ({"scale": 0.12}, 20, 36, 16.5 * 0.13),
    ],
)
def test_films_move_both_ways_and_no_further(change: dict[str, float], row: int, column: int, reach: float) -> None:
    draw = torch.Generator().manual_seed(0)
    far = [centre(moved(blob(row, column), replace(STILL, **change), draw)) for _ in range(100)]  # type: ignore[arg-type]
    steps = [down - row for down, _ in far] if "rotation" in change else [right - column for _, right in far]
    assert -reach - 0.2 < min(steps) < -0.7 * reach
    assert 0.7 * reach < max(steps) < reach + 0.2


def test_gamma_keeps_black_white_and_the_range() -> None:
    draw = torch.Generator().manual_seed(0)
    image = torch.full((64, 1, 8, 8), 0.5)
    image[:, :, 0, 0], image[:, :, 7, 7] = 0.0, 1.0
    found = moved(image, replace(STILL, gamma=0.3), draw)
    assert float(found[:, 0, 0, 0].abs().max()) < 1e-5
    assert float(found[:, 0, 7, 7].min()) > 1 - 1e-5
    greys = found[:, 0, 4, 4]
    assert 0.5**1.35 <= float(greys.min()) < 0.45
    assert 0.55 < float(greys.max()) <= 0.5**0.74


def test_rare_codes_are_learnt_as_if_all_were_equally_frequent() -> None:
    labels = torch.tensor([0] * 99 + [1])
    recipe = FineTuningRecipe(replace(STILL, logit_adjustment=1.0, axis_weight=0.0), [HAND, CHEST], labels)
    flat = FineTuningRecipe(replace(STILL, axis_weight=0.0), [HAND, CHEST], labels)
    scores, rare = torch.zeros(1, 2), torch.tensor([1])
    assert float(flat.loss(scores, rare)) == pytest.approx(0.693, abs=1e-3)
    assert float(recipe.loss(scores, rare)) == pytest.approx(4.605, abs=1e-3)  # -log 1/100: it must score higher


def test_a_wrong_code_with_right_axes_costs_less() -> None:
    labels = torch.tensor([0, 1, 2])
    recipe = FineTuningRecipe(STILL, [HAND, FOOT, CHEST], labels)
    near = recipe.loss(torch.tensor([[0.0, 5.0, 0.0]]), torch.tensor([0]))
    far = recipe.loss(torch.tensor([[0.0, 0.0, 5.0]]), torch.tensor([0]))
    assert float(near) < float(far) - 0.5


def test_axes_that_are_alike_in_every_class_ask_nothing() -> None:
    recipe = FineTuningRecipe(STILL, [HAND, FOOT], torch.tensor([0, 1]))
    assert len(recipe.same_axis) == 1

"""Rocchio's rule on packed codes, against the same in fractions, bit by bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from radretrieval.coding.refine import MOST, agreement, order, refined


def sign(code: np.ndarray, bit: int) -> int:
    return 1 if code[bit // 8] >> (7 - bit % 8) & 1 else -1


@pytest.mark.parametrize(("good", "bad"), [(0, 0), (3, 0), (0, 4), (1, 1), (5, 7)])
def test_it_is_rocchios_rule(good: int, bad: int) -> None:
    rng = np.random.default_rng([good, bad])
    query, relevant, others, films = (rng.integers(0, 256, (n, 5), np.uint8) for n in (1, good, bad, 9))
    bits = 37
    found = refined(query[0], relevant, others, bits)
    wanted = []
    for bit in range(bits):
        own = Fraction(sign(query[0], bit))
        mean = [Fraction(sum(sign(one, bit) for one in group), max(len(group), 1)) for group in (relevant, others)]
        wanted.append((own + 2 * mean[0] if good else 3 * own) - 2 * mean[1])
    assert [Fraction(int(weight), max(good, 1) * max(bad, 1)) for weight in found.weights] == wanted
    for bit, weight in enumerate(wanted):
        assert sign(found.code, bit) == ((1 if weight > 0 else -1) if weight else sign(query[0], bit))
    scores = agreement(found.weights, films)
    assert scores.tolist() == [sum(int(found.weights[b]) * sign(film, b) for b in range(bits)) for film in films]
    assert refined(query[0], relevant, others, bits).code.tobytes() == found.code.tobytes()


def test_without_a_word_the_order_is_that_of_distance() -> None:
    rng = np.random.default_rng(1)
    films = rng.integers(0, 256, (60, 125), np.uint8)
    none = np.empty((0, 125), np.uint8)
    one = refined(films[0], none, none, 1000)
    assert one.code.tobytes() == films[0].tobytes()
    distance = np.unpackbits(films ^ films[0], axis=1).sum(1)
    scores = agreement(one.weights, films)
    found = order(scores, 1000, np.zeros(60, np.int64), 4352, np.arange(60))
    assert found.tolist() == np.lexsort((np.arange(60), distance)).tolist()


def test_the_largest_keys_fit_into_64_bits() -> None:
    ones, zeros = np.full((1, 544), 255, np.uint8), np.zeros((MOST, 544), np.uint8)
    one = refined(ones[0], np.repeat(ones, MOST, 0), zeros, 4352)
    assert agreement(one.weights, ones)[0] * 1000 == 5 * MOST * MOST * 4352 * 1000 < 2**62

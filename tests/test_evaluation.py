"""Evaluation: the first hits are those of the definition, and the figures are those of the errors."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import TINY

from radretrieval.archive.codes import CodeSet
from radretrieval.archive.encoders import Encoder
from radretrieval.evaluation import BLOCK, _first_hits, _predictions, _row, _summary
from radretrieval.irma.error import irma_error

RNG = np.random.default_rng(0)
CODES = ["1121-127-700-500", "1121-120-942-700", "1123-127-500-000", "1124-410-620-625"]
ENCODER = Encoder(1, TINY, (), b"", True, False)


def code_set(ids: list[int]) -> CodeSet:
    """Codes with many ties: sixteen distinct ones."""
    n = len(ids)
    cnnc = np.zeros((n, 125), np.uint8)
    cnnc[:, :2] = RNG.integers(0, 4, (n, 2))
    rbc = np.zeros((n, 544), np.uint8)
    rbc[:, :2] = RNG.integers(0, 4, (n, 2))
    labels: list[str | None] = [CODES[i] for i in RNG.integers(0, 4, n)]
    return CodeSet(np.array(ids), cnnc, rbc, labels, [""] * n, [b""] * n)


def bits(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(a ^ b).sum())


@pytest.mark.parametrize("same", [False, True])
def test_first_hits_are_those_of_the_definition(same: bool) -> None:
    others = code_set(list(range(10, 130)))
    queries = others if same else code_set(list(range(500, 500 + BLOCK + 7)))
    found = _first_hits(queries, others, 50, lambda count: None)
    for place, query in enumerate(queries.image_ids):
        near = [bits(queries.cnnc[place], code) for code in others.cnnc]
        far = [bits(queries.rbc[place], code) for code in others.rbc]
        able = [i for i in range(len(near)) if others.image_ids[i] != query]
        candidates = sorted(able, key=lambda i: (near[i], i))[:50]
        assert found["CNNC + RBC"][place] == min(candidates, key=lambda i: (far[i], near[i], i))
        assert found["CNNC alone"][place] == candidates[0]
        assert found["RBC alone"][place] == min(able, key=lambda i: (far[i], i))


def test_a_query_that_is_alone_gets_the_code_that_says_nothing() -> None:
    alone = code_set([5])
    found = _first_hits(alone, alone, 50, lambda count: None)
    assert _predictions(alone, found["CNNC + RBC"]) == ["****-***-***-***"]


def test_the_figures() -> None:
    true = [CODES[0]] * 6 + [CODES[1]] * 4
    predicted = [CODES[0]] * 5 + [CODES[2]] + [CODES[1]] * 2 + [CODES[0]] * 2
    errors = [irma_error(t, p) for t, p in zip(true, predicted, strict=True)]
    result = _summary(ENCODER, true, predicted, 77)
    assert (result.queries, result.against, result.first_hit_accuracy) == (10, 77, 0.7)
    assert result.error_score == pytest.approx(sum(errors))
    assert result.error_per_image == pytest.approx(np.mean(errors))
    assert np.mean(list(result.axes.values())) == pytest.approx(result.error_per_image)
    low, high = result.ci95
    assert 0 <= low < result.error_score < high
    assert _summary(ENCODER, true, predicted, 77).ci95 == result.ci95
    assert _summary(ENCODER, true, true, 77).ci95 == (0, 0)
    row = _row("name", true, predicted)
    assert (row.error_score, row.first_hit_accuracy) == (pytest.approx(sum(errors)), 0.7)

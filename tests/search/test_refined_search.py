"""A refined search against the rule written out over every film of the archive."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from filled import Filled, fill

import radretrieval as rr
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import parse
from radretrieval.coding.hamming import distances
from radretrieval.config import Settings
from radretrieval.errors import NotInArchive, UsageError
from radretrieval.search.request import Answer, Request
from radretrieval.search.searcher import Searcher

COUNT = 240


@pytest.fixture
def archive(database: Database, settings: Settings) -> Iterator[tuple[Filled, Searcher]]:
    with database.connection() as connection:
        filled = fill(connection, COUNT, flips=200)
    with Searcher(database, settings, encoder_id=filled.encoders[1]) as searcher:
        yield filled, searcher


def signs(codes: np.ndarray, bits: int) -> np.ndarray:
    return np.unpackbits(codes, axis=-1, count=bits).astype(int) * 2 - 1


def rocchio(query: np.ndarray, good: np.ndarray, bad: np.ndarray) -> list[Fraction]:
    """The weights of the bits, as fractions."""
    wanted = [Fraction(3 * int(one)) for one in query]
    if len(good):
        wanted = [int(one) + Fraction(2 * int(total), len(good)) for one, total in zip(query, good.sum(0), strict=True)]
    less = bad.sum(0) if len(bad) else np.zeros(len(query), int)
    return [one - Fraction(2 * int(total), max(len(bad), 1)) for one, total in zip(wanted, less, strict=True)]


def expected(filled: Filled, request: Request, passes: Any) -> list[int]:
    """The ids of all candidates from the best on."""
    query, places = int(request.query) - 1, [np.array(ids, int) - 1 for ids in (request.relevant, request.not_relevant)]
    weights, films = [], []
    for codes, bits in ((filled.cnnc[1], 1000), (filled.rbc, 4352)):
        plus = signs(codes, bits)
        films.append(plus)
        weights.append(rocchio(plus[query], *(plus[chosen] for chosen in places)))
    refined = np.packbits(
        [weight > 0 or (not weight and own > 0) for weight, own in zip(weights[0], films[0][query], strict=True)]
    )
    far = distances(filled.cnnc[1][query], filled.cnnc[1])
    pool: set[int] = set()
    for near, left_out in ((far, []), (distances(refined, filled.cnnc[1]), request.not_relevant)):
        among = [i for i in range(1, COUNT + 1) if i != request.query and i not in left_out and passes(i)]
        ranked = sorted((int(near[i - 1]), i) for i in among)
        last = ranked[min(request.candidates, len(ranked)) - 1][0]
        pool |= {i for distance, i in ranked if distance <= last}
    pool -= set(request.not_relevant)

    def score(image: int) -> Fraction:
        parts = [
            sum(w * int(s) for w, s in zip(of, film[image - 1], strict=True)) / len(of)
            for of, film in zip(weights, films, strict=True)
        ]
        return sum(parts, Fraction(0))

    return sorted(pool, key=lambda image: (-score(image), image))


@pytest.mark.parametrize(
    ("relevant", "not_relevant"), [((12, 22), (17, 3, 8)), ((12,), ()), ((), (17, 22, 27)), ((238, 4), (2,))]
)
def test_it_is_the_rule_over_all_films(
    archive: tuple[Filled, Searcher], relevant: tuple[int, ...], not_relevant: tuple[int, ...]
) -> None:
    filled, searcher = archive
    request = Request(7, top=15, candidates=20, relevant=relevant, not_relevant=not_relevant, explain=True)
    answer = searcher.search(request)
    wanted = expected(filled, request, lambda image: True)
    assert [hit.image_id for hit in answer.hits] == wanted[:15]
    assert answer.candidates == len(wanted)
    plain = searcher.search(Request(7, top=15, candidates=20))
    assert [hit.image_id for hit in plain.hits] != wanted[:15]
    for hit in answer.hits:
        assert hit.cnnc_distance == distances(filled.cnnc[1][6], filled.cnnc[1][[hit.image_id - 1]])[0]
        assert hit.rbc_distance == distances(filled.rbc[6], filled.rbc[[hit.image_id - 1]])[0]
        assert hit.explanation is not None
        assert (hit.explanation.cnnc_part, hit.explanation.rbc_part) == (None, None)
    document = answer.document()
    assert (document["refined"], plain.document()["refined"]) == (True, False)
    assert document["path"] == plain.path


def ids(answer: Answer) -> list[int]:
    return [hit.image_id for hit in answer.hits]


def test_filters_hold(archive: tuple[Filled, Searcher]) -> None:
    filled, searcher = archive
    marks: dict[str, Any] = {"relevant": (12, 22), "not_relevant": (17, 3, 8), "top": 10, "candidates": 20}
    where = Request(7, where=(parse("body_part=CHEST"),), **marks)
    answer = searcher.search(where)
    assert ids(answer) == expected(filled, where, lambda image: image % 2 == 0)[:10]
    assert answer.effect == searcher.search(Request(7, where=where.where, top=10, candidates=20)).effect
    everything = expected(filled, Request(7, **marks), lambda image: True)
    near = searcher.search(Request(7, max_distance=110, **marks))
    far = distances(filled.cnnc[1][6], filled.cnnc[1])
    assert ids(near) == [image for image in everything if far[image - 1] <= 110][:10]
    patients = searcher.search(Request(7, one_per="patient", **marks))
    assert len({hit.patient_key for hit in patients.hits}) == 10


def test_what_cannot_be_judged_is_told(archive: tuple[Filled, Searcher]) -> None:
    _, searcher = archive
    searcher.connection.execute("DELETE FROM barcode WHERE image_id = 9")
    for wrong, told, kind in (
        ({"relevant": (9999,)}, "has no image 9999", NotInArchive),
        ({"not_relevant": (9,)}, "image 9 has no code of encoder 2", UsageError),
        ({"relevant": (5, 5)}, "named twice", UsageError),
        ({"relevant": (5,), "not_relevant": (5,)}, "named twice", UsageError),
        ({"relevant": tuple(range(1001))}, "at most 1000", UsageError),
    ):
        with pytest.raises(kind, match=told):
            searcher.search(Request(7, **wrong))


def test_the_command_refines_and_says_what_does_not_hold(database: Database, settings: Settings, inside: Any) -> None:
    with database.connection() as connection:
        fill(connection, 60, flips=200)
    done = inside("search", "id:7", "--relevant", 12, "--not-relevant", 17, "--not-relevant", 22, "--json", "--top", 5)
    assert done.json["refined"]
    assert "refined by 1 relevant and 2 not relevant images: its order is not that of the distances" in done.stderr
    assert not {17, 22} & {hit["image_id"] for hit in done.json["hits"]}
    settings.database_url = database.url
    with rr.open_archive(settings=settings) as archive:
        answer = archive.search(7, relevant=[12], not_relevant=[17, 22], top=5)
        assert answer.document()["hits"] == done.json["hits"]
    assert "-" in inside("search", "id:7", "--relevant", 12, "--explain").stdout
    refused = inside("search", "--all", "--out", "hits.csv", "--relevant", 12, check=False)
    assert (refused.returncode, "--relevant is of one query" in refused.stderr) == (2, True)

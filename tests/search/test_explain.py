"""Why a hit stands where it does: the parts add up to what they explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import CODES, Made
from PIL import Image
from tiny import FUSED, TINY

from radretrieval.archive.search.nearest import Candidate
from radretrieval.archive.search.stored import HitFacts
from radretrieval.profile import Profile
from radretrieval.search.explain import angle_distances, explain, majority
from radretrieval.search.request import Answer, Hit, Request


def facts(code: str | None) -> HitFacts:
    return HitFacts("file:///a.png", b"", code, *[None] * 7)


def answer(profile: Profile, codes: list[str | None], query_code: str | None) -> Answer:
    """An explained answer whose hits come in the reverse of the order by CNNC."""
    bars = np.zeros((len(codes), 4352), np.uint8)
    for place, row in enumerate(bars):
        row[place * 272 : place * 272 + 7] = 1
    packed = [row.tobytes() for row in np.packbits(bars, axis=1)]
    candidates = [Candidate(n, 10 * n, packed[n], facts(code)) for n, code in enumerate(codes)]
    hits = [
        Hit(**vars(one.facts), rank=rank, image_id=one.image_id, cnnc_distance=one.cnnc_distance, rbc_distance=7)
        for rank, one in enumerate(reversed(candidates), start=1)
    ]
    given: dict[str, Any] = {"path": "exact-scan", "recall": None, "effect": None, "pending": 0}
    made = Answer(Request(1), 1, len(hits), hits, **given, query_image_id=1, query_irma_code=query_code)
    explain(made, candidates, np.zeros(544, np.uint8), profile)
    return made


@pytest.mark.parametrize("profile", [TINY, FUSED], ids=["barcode alone", "fused"])
def test_parts_ranks_and_projections(profile: Profile) -> None:
    found = answer(profile, ["1121-120-942-700", "1121-127-700-500", None], None)
    for hit in found.hits:
        why = hit.explanation
        assert why is not None
        assert why.cnnc_rank == hit.image_id + 1
        assert [bits for bits in why.angle_distances if bits] == [7]
        assert (why.angle_distances[hit.image_id], len(why.angle_distances)) == (7, 16)
        share = 0.5 if profile is FUSED else 0.0
        assert (why.cnnc_part, why.rbc_part) == pytest.approx(
            (share * hit.cnnc_distance / 1000, (1 - share) * 7 / 4352)
        )


def test_a_distance_is_the_sum_of_its_projections() -> None:
    one, other = np.random.default_rng(1).integers(0, 256, (2, 544), np.uint8)
    bits = np.unpackbits(one ^ other).reshape(16, 272).sum(1)
    assert angle_distances(one, other, TINY.barcode) == tuple(bits)


def test_axes_agree_with_the_query_and_with_most_hits() -> None:
    codes = ["1121-120-942-700", "1121-127-942-500", "foreign", None, "1121-127-700-500"]
    assert majority(codes) == "1121-127-942-500"
    assert majority([None, "foreign"]) is None
    found = answer(TINY, codes, "1121-120-700-700")
    assert found.majority_irma_code == "1121-127-942-500"
    hits = {hit.image_id: hit.explanation for hit in found.hits}
    first, foreign = hits[0], hits[2]
    assert first is not None
    assert first.as_query == {"T": True, "D": True, "A": False, "B": True}
    assert first.as_most == {"T": True, "D": False, "A": True, "B": False}
    assert foreign is not None
    assert set(foreign.as_query.values()) | set(foreign.as_most.values()) == {None}
    unknown = answer(TINY, codes, None).hits[-1].explanation
    assert unknown is not None
    assert (set(unknown.as_query.values()), unknown.as_most) == ({None}, first.as_most)


def test_the_command_explains_in_table_json_and_picture(answers: Made, tmp_path: Path) -> None:
    plain = answers.search("id:1", "--json", "--picture", tmp_path / "plain.png").json
    told = answers.search("id:1", "--explain", "--json", "--picture", tmp_path / "why.png").json
    assert plain["majority_irma_code"] is None
    assert {hit["explanation"] for hit in plain["hits"]} == {None}
    assert told["majority_irma_code"] in CODES
    with answers.searcher() as searcher:
        similar = searcher.connection.execute("SELECT image_id, rank FROM radretrieval.similar(1, 50)")
        ranks = {row["image_id"]: row["rank"] for row in similar}
    for hit in told["hits"]:
        assert hit["explanation"]["cnnc_rank"] == ranks[hit["image_id"]]
        assert sum(hit["explanation"]["angle_distances"]) == hit["rbc_distance"]
        assert hit["explanation"]["as_query"] == {
            axis: hit["irma_code"] and same
            for axis, same in zip("TDAB", (True, *[hit["irma_code"] == CODES[0]] * 3), strict=True)
        }
    assert [hit | {"explanation": None} for hit in told["hits"]] == plain["hits"]
    table = answers.search("id:1", "--explain").stdout
    lines = [line.split() for line in table.splitlines()]
    first = told["hits"][0]
    assert ["query", CODES[0] + ",", "most", "hits", told["majority_irma_code"]] in lines
    bits = [str(one) for one in first["explanation"]["angle_distances"]]
    assert any(line[:2] == ["1", str(first["image_id"])] and line[-16:] == bits for line in lines)
    with Image.open(tmp_path / "plain.png") as before, Image.open(tmp_path / "why.png") as after:
        assert after.height > before.height + 2 * 64
        under_query = [
            np.asarray(image.convert("L"))[54 + 330 + 98 : 54 + 330 + 160, 24 : 24 + 330] for image in (before, after)
        ]
        assert [bool((pixels < 128).any()) for pixels in under_query] == [False, True], "the legend"
    refused = answers.search("--all", "--out", tmp_path / "a.csv", "--explain", check=False)
    assert (refused.returncode, "--explain is of one query" in refused.stderr) == (2, True)

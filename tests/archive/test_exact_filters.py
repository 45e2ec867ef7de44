"""Filters give what brute force gives, whichever way is taken: the index, the filter first, everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from anchored import CLASSES, COUNT, NUMBERS, TEXT, Anchored, Truth, asking, disturbed, nearest, rows, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.search import nearest as searches
from radretrieval.coding.hamming import distances

FILTERS: list[dict[str, Any]] = [
    {"modality": "CR"},
    {"modality": ""},
    {"modality": None},
    {"modality": ["DX", ""]},
    {"modality": {"not": "CR"}},
    {"modality": {"not": ["CR", ""]}},
    {"modality": {"not": ""}},
    {"modality": []},
    {"modality": {}},
    {"body_part": "HAND"},
    {"body_part": {"not": []}},
    {"view_position": ["AP", "RARE"], "laterality": "L"},
    {"split": ["train", "test"], "format": "dicom"},
    {"photometric": "MONOCHROME2"},
    {"withdrawn": True},
    {"withdrawn": "false"},
    {"withdrawn": ""},
    {"irma_code": CLASSES[2]},
    {"irma_code": CLASSES[2].replace("-", "").upper()},
    {"irma_code": "1121-*"},
    {"irma_code": "*-*-5*"},
    {"irma_code": "1121-12*-9*-*"},
    {"irma_code": ["113*", CLASSES[0]]},
    {"irma_code": {"not": "1121-*"}},
    {"irma_code": ""},
    {"patient_key": ["patient 3", "patient 700", "nobody"]},
    {"patient_key": ""},
    {"patient_key": {"not": ""}},
    {"study_instance_uid": {"not": ["1.2.5", ""]}},
    {"series_instance_uid": "1.3.77"},
    {"sop_instance_uid": ["1.9.1", "1.9.44"]},
    {"rows": {"from": 1500}},
    {"rows": {"from": "1200", "before": 1300}},
    {"columns": 1504},
    {"columns": [1504, "1505"]},
    {"columns": {"not": {"from": 1505}}},
    {"bits_stored": 12, "rows": {"before": 1100}},
    {"bits_stored": ""},
    {"ingested_at": "2026-01-03"},
    {"ingested_at": ["2026-01-03", "2026-01-05"]},
    {"ingested_at": {"from": "2026-01-02", "before": "2026-01-04"}},
    {"ingested_at": {"not": "2026-01-03"}},
    {"not_image": 4},
    {"not_image": list(range(1, 2000)), "modality": "CR"},
    {"not_patient": "patient 4"},
    {"not_patient": "patient 4", "not_image": [4, 5], "split": "train", "rows": {"from": 1100}},
    {"max_distance": 0},
    {"max_distance": 90, "modality": "CR"},
    {"max_distance": 1000},
    {"max_distance": 10**9, "split": "test"},
    {"split": "no such"},
    {"split": "no such", "rows": {"from": 1}},
    {"rows": {"from": 9999}},
    {},
]


@pytest.fixture(scope="module")
def connection(reading: Database) -> Iterator[Any]:
    with asking(reading.url) as made:
        made.execute("SET timezone = 'UTC'")
        yield made


@pytest.fixture(scope="module")
def truth(connection: Any, anchored: Anchored) -> Truth:
    return Truth(connection, anchored.encoder)


def most(filter_: dict[str, Any]) -> int:
    return int(min(filter_.get("max_distance", 1000), 1000))


@pytest.mark.parametrize("filter_", FILTERS, ids=lambda filter_: json.dumps(filter_)[:60])
def test_each_kind_of_condition(connection: Any, truth: Truth, filter_: dict[str, Any]) -> None:
    keep = truth.passing(filter_)
    for query in (truth.codes[3], disturbed(truth.codes[1200], 60), np.zeros(125, np.uint8)):
        for k in (1, 50, 300):
            assert nearest(connection, query, k, filter_)[0] == truth.nearest(query, k, keep, most(filter_))
    for limit in (5, 1000, 10_000):
        given_ = (json.dumps(filter_), limit)
        assert rows(connection, "SELECT cnnc_matched(NULL, %s, %s)", given_) == [(min(keep.sum(), limit),)]


@pytest.mark.parametrize("column", ["patient_key", "study_instance_uid"])
@pytest.mark.parametrize("filter_", [{}, {"modality": "CR"}, {"rows": {"from": 1900}}, {"max_distance": 150}], ids=str)
def test_one_of_each_patient_or_study(connection: Any, truth: Truth, column: str, filter_: dict[str, Any]) -> None:
    given_ = filter_ | {"one_per": column.partition("_")[0]}
    for query in (truth.codes[3], truth.codes[-1], disturbed(truth.codes[1200], 60)):
        keep = truth.passing(filter_) & (distances(query, truth.codes) <= most(filter_))
        for k in (1, 7, 40, 2000):
            assert nearest(connection, query, k, given_)[0] == truth.one_per(query, k, keep, column)


def test_a_patient_called_as_an_image_stands_for_himself(indexed: Database, anchored: Anchored) -> None:
    with asking(indexed.url) as connection:
        connection.execute("UPDATE image SET patient_key = 'image 14' WHERE id = 15")
        truth = Truth(connection, anchored.encoder)
        assert truth.images[13]["patient_key"] is None
        found, _ = nearest(connection, truth.codes[13], COUNT, {"one_per": "patient"})
        assert found == truth.one_per(truth.codes[13], COUNT, truth.passing({}), "patient_key")


@pytest.mark.parametrize(
    ("filter_", "path"),
    [
        ({"laterality": "L"}, "exact-filter"),  # 50 %
        ({"modality": "CR"}, "exact-index"),  # 70 %
        ({"view_position": "TENTH"}, "exact-filter"),
        ({"view_position": "SOME"}, "exact-filter"),
        ({"view_position": "RARE"}, "exact-filter"),  # 0.1 %
        ({"body_part": "CHEST"}, "exact-filter"),  # goes with the clusters: with that of image 1, not with image 2's
        ({"body_part": {"not": "CHEST"}}, "exact-index"),
        ({"rows": {"from": 1200}}, "exact-index"),
        ({"rows": {"from": 1900}}, "exact-filter"),
        ({"rows": {"from": 1050}, "modality": "CR"}, "exact-index"),
        ({"rows": {"from": 1050}, "body_part": {"not": "CHEST"}}, "exact-index"),
        ({}, "exact-index"),
    ],
)
def test_the_way_is_by_how_many_pass(connection: Any, truth: Truth, filter_: dict[str, Any], path: str) -> None:
    keep = truth.passing(filter_)
    for place in (0, 1, 2, 3):
        # nearest to a chest are none of the others: they are far from it, so that everything is compared
        astray = place == 0 and filter_.get("body_part") == {"not": "CHEST"}
        for query in (truth.codes[place], disturbed(truth.codes[place], 40)):
            expected = truth.nearest(query, 20, keep), {"exact-filter" if astray else path}
            assert nearest(connection, query, 20, filter_) == expected


@pytest.mark.parametrize("cells", [False, True])
@pytest.mark.parametrize("tests", [None, "i.rows >= 1500", "i.rows >= 1995"])
@pytest.mark.parametrize("body_part", [["CHEST"], ["CHEST", "HAND", "SKULL", ""]])
def test_the_ball_among_facets_cells_and_tests(
    connection: Any, truth: Truth, cells: bool, tests: str | None, body_part: list[str]
) -> None:
    """Ways that searches take from 15,000 codes on, at any share that they may believe in."""
    least = 0 if tests is None else int(tests[-4:])
    keep = truth.passing({"body_part": body_part, "rows": {"from": least}, "not_image": [1, 5, 9]})
    statement = (
        "SELECT * FROM exact_ball((SELECT id FROM exact_index WHERE live), %s::bit(1000), %s, "
        "(SELECT array_agg(id) FROM facet WHERE body_part = ANY (%s)), %s, %s, %s, '{1,5,9}', 1000, 1e9)"
    )
    for query in (truth.codes[0], truth.codes[1], disturbed(truth.codes[2], 80)):
        for k, share in ((1, 1.0), (30, 0.0001), (30, 1.0), (COUNT, 0.5)):
            found = rows(connection, statement, (text(query), k, body_part, cells, tests, share))
            assert found == truth.nearest(query, k, keep)


def test_the_largest_distance_is_not_exceeded(connection: Any, truth: Truth) -> None:
    _, far = truth.nearest(truth.codes[0], 50)[30]
    for most_ in (far - 1, far - 0.4, far, far + 0.9):
        expected = truth.nearest(truth.codes[0], 500, most=int(most_ // 1))
        assert nearest(connection, truth.codes[0], 500, {"max_distance": most_})[0] == expected


def test_nothing_matches(connection: Any, truth: Truth, anchored: Anchored) -> None:
    encoder = encoders.get(connection, anchored.encoder)
    for conditions in (("split", "=", "no such"), ("rows", ">=", "9999"), ("patient_key", "=", "nobody")):
        wanted = Filter(where=(Condition(*conditions),))
        found, _ = searches.candidates(connection, encoder, 1, truth.codes[0], 50, wanted)
        assert found == []
        effect = searches.filter_effect(connection, encoder, truth.codes[0], wanted, found)
        assert effect == searches.FilterEffect(0, None)


@pytest.mark.parametrize("place", [0, 1, COUNT - 1])
@pytest.mark.parametrize("k", [1, 50])
def test_the_effect_of_a_filter(connection: Any, truth: Truth, anchored: Anchored, place: int, k: int) -> None:
    encoder = encoders.get(connection, anchored.encoder)
    query, own = truth.codes[place], (place + 1,)
    far = distances(query, truth.codes)
    hidden_most = 0
    for filter_ in ({"body_part": "CHEST"}, {"view_position": "RARE"}, {"modality": "CR"}, {"rows": {"from": 1990}}):
        (column, value), *_ = filter_.items()
        operator, value = ("=", value) if isinstance(value, str) else (">=", str(value["from"]))
        for not_images in ((), own):
            wanted = Filter(where=(Condition(column, operator, value),), not_images=not_images)
            found, _ = searches.candidates(connection, encoder, 1, query, k, wanted)
            keep = truth.passing({**filter_, "not_image": list(not_images)})
            assert [(hit.image_id, hit.cnnc_distance) for hit in found] == truth.nearest(query, k, keep)
            out = np.isin(truth.ids, not_images)
            hidden = int((far[~keep & ~out] < found[-1].cnnc_distance).sum())
            effect = searches.filter_effect(connection, encoder, query, wanted, found)
            assert effect == searches.FilterEffect(int(keep.sum()), min(hidden, searches.HIDDEN))
            hidden_most = max(hidden_most, hidden)
    assert hidden_most > (searches.HIDDEN if k == 50 else 0)


def test_counting_ends(connection: Any, truth: Truth) -> None:
    for most_ in (1, 30, 5000):
        within = "SELECT cnnc_within(%s::bit(1000), %s, NULL, %s)"
        for distance in (-1, 0, 120, 300, 1000):
            number = int((distances(truth.codes[9], truth.codes) <= distance).sum())
            assert rows(connection, within, (text(truth.codes[9]), distance, most_)) == [(min(number, most_),)]


def test_sql_of_ones_own(connection: Any, truth: Truth) -> None:
    keep = truth.passing({"modality": "CR"}, lambda image: image["rows"] > image["columns"])
    given_ = {"modality": "CR", "sql": "i.rows > i.columns"}
    assert nearest(connection, truth.codes[0], 50, given_)[0] == truth.nearest(truth.codes[0], 50, keep)
    either = {"not_image": [1], "sql": "i.id < 9 OR i.id > 7999"}
    expected = truth.nearest(truth.codes[0], 50, truth.passing({"not_image": [1]}, lambda i: not 9 <= i["id"] <= 7999))
    assert nearest(connection, truth.codes[0], 50, either)[0] == expected


@pytest.mark.parametrize("given_", [{"sql": None}, {"not_image": None}, {"not_image": []}, {"not_patient": None}, None])
def test_an_empty_exclusion_leaves_nothing_out(connection: Any, truth: Truth, given_: Any) -> None:
    assert nearest(connection, truth.codes[0], 50, given_)[0] == truth.nearest(truth.codes[0], 50)


def test_an_empty_text_is_no_value_either_way(indexed: Database, anchored: Anchored) -> None:
    """Facets know no difference between '' and NULL, so a plain scan must not either."""
    with asking(indexed.url) as connection:
        connection.execute("UPDATE image SET modality = '' WHERE id % 100 = 0")
        truth = Truth(connection, anchored.encoder)
        for image in truth.images:
            image["modality"] = image["modality"] or None
        query = truth.code(200)
        for filter_ in ({"modality": ""}, {"modality": {"not": ""}}, {"modality": ["", "DX"]}):
            for more in ({}, {"rows": {"from": 1000}}):
                expected = truth.nearest(query, 500, truth.passing(filter_))
                assert nearest(connection, query, 500, filter_ | more)[0] == expected
                given_ = (json.dumps(filter_ | more),)
                matched = int(truth.passing(filter_).sum())
                assert rows(connection, "SELECT cnnc_matched(NULL, %s)", given_) == [(matched,)]


def values(column: str) -> st.SearchStrategy[Any]:
    known: dict[str, list[Any]] = {
        "modality": ["CR", "DX", "", "XX"],
        "body_part": ["CHEST", "HAND", "", None],
        "view_position": ["RARE", "SOME", "TENTH", "AP"],
        "laterality": ["L", "R"],
        "split": ["train", "test"],
        "format": ["png", "dicom"],
        "photometric": ["MONOCHROME1", "MONOCHROME2"],
        "irma_code": [*CLASSES, "1121-*", "*-*-7*", "113*", ""],
        "rows": [1100, "1500", 1999],
        "columns": [1500, 1507],
        "bits_stored": [8, 12],
    }
    one = st.sampled_from(known[column])
    some = st.one_of(one, st.lists(one, max_size=3))
    ranges = st.dictionaries(st.sampled_from(["from", "before"]), st.sampled_from([1300, 1506, 12]), min_size=1)
    negated = st.builds(lambda value: {"not": value}, some)
    return st.one_of(some, negated, ranges) if column in NUMBERS else st.one_of(some, negated)


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    columns = draw(st.lists(st.sampled_from(TEXT + NUMBERS), max_size=3, unique=True))
    made = {column: draw(values(column)) for column in columns}
    if draw(st.booleans()):
        made["not_image"] = draw(st.lists(st.integers(1, COUNT), max_size=5))
    if draw(st.booleans()):
        made["not_patient"] = f"patient {draw(st.integers(0, 9))}"
    if draw(st.integers(0, 3)) == 0:
        made["max_distance"] = draw(st.integers(0, 400))
    return made


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filter_=filters(), place=st.integers(0, COUNT - 1), bits=st.integers(0, 300), k=st.sampled_from([1, 9, 60, 390]))
def test_any_filter(connection: Any, truth: Truth, filter_: dict[str, Any], place: int, bits: int, k: int) -> None:
    query = disturbed(truth.codes[place], bits)
    keep = truth.passing(filter_)
    assert nearest(connection, query, k, filter_)[0] == truth.nearest(query, k, keep, most(filter_))
    assert rows(connection, "SELECT cnnc_matched(NULL, %s)", (json.dumps(filter_),)) == [(int(keep.sum()),)]

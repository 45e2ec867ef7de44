"""How likely hits are right, and whether anything is similar: alone, in a batch and in SQL, with the same numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from calibrating import CODES, fitted
from conftest import Run
from databases import Server
from filled import fill
from psycopg.rows import tuple_row
from tiny import FUSED, TINY

from radretrieval.archive.connections import Database
from radretrieval.archive.filters import parse
from radretrieval.coding.calibration import Calibration
from radretrieval.config import Settings
from radretrieval.jobs.calibrate import ranked
from radretrieval.profile import Profile
from radretrieval.search.request import Answer, Request
from radretrieval.search.searcher import Searcher

FAR = 0.008  # of the bits: images 1 … 400 have their nearest codes at 2 … 14 of 1000


@pytest.fixture(scope="module")
def filled(server: Server, migrated_template: str) -> Iterator[Database]:
    """400 coded images, and an encoder with a calibration; some of the images are like nothing."""
    with server.database(template=migrated_template) as url:
        database = Database(url)
        with database.connection() as connection:
            fill(connection)
            calibrate(connection, replace(fitted(), far=FAR))
        yield database


def calibrate(connection: Any, calibration: Calibration | None) -> None:
    text = None if calibration is None else json.dumps(calibration.as_json())
    connection.execute("UPDATE encoder SET calibration = %s WHERE active", (text,))


def answered(database: Database, settings: Settings, requests: list[Request]) -> list[Answer]:
    with Searcher(database, settings, "cpu") as searcher:
        return [searcher.search(request) for request in requests]


def told(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with database.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
        return list(cursor.execute(query, values))  # type: ignore[call-overload]


def numbers(answer: Answer) -> list[tuple[Any, ...]]:
    """What an answer says of its hits, as `retrieve` does."""
    nothing = answer.similarity.nothing if answer.similarity else None
    return [(hit.rank, hit.image_id, *(hit.likelihood or [None] * 5), nothing) for hit in answer.hits]


SQL = (
    "SELECT rank, image_id, probability, probability_t, probability_d, probability_a, probability_b, nothing_similar "
    "FROM retrieve(%s, %s, 50, NULL, %s)"
)


def test_sql_has_the_numbers_of_search(filled: Database, settings: Settings) -> None:
    filters: list[tuple[dict[str, Any], str]] = [
        ({}, "{}"),
        ({"where": (parse("modality=CR"),)}, '{"modality": "CR"}'),
        ({"where": (parse("irma_code=1121-*"),)}, '{"irma_code": "1121-*"}'),
        ({"max_distance": 9}, '{"max_distance": 9}'),
    ]
    asked = [(image, top, *one) for image in (3, 10, 77, 250, 391) for top in (3, 10, 25) for one in filters]
    requests = [Request(image, top=top, **conditions) for image, top, conditions, _ in asked]
    answers = answered(filled, settings, requests)
    for (image, top, _, text), answer in zip(asked, answers, strict=True):
        assert told(filled, SQL, image, top, text) == numbers(answer)
    said = [hit.likelihood for answer in answers for hit in answer.hits]
    assert any(said)
    assert not all(said)  # unlabelled images, a filter by code, nothing similar
    assert {answer.similarity.nothing for answer in answers if answer.similarity} == {True, False}


def test_the_first_hits_are_judged_the_same_however_many_are_asked_for(filled: Database, settings: Settings) -> None:
    few, many = answered(filled, settings, [Request(3, top=2), Request(3, top=40)])
    assert numbers(few) == numbers(many)[:2]
    assert few.hits[0].likelihood is not None
    assert few.similarity == many.similarity


def test_a_batch_has_the_numbers_of_single_searches(
    filled: Database, settings: Settings, inside: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "ids.csv").write_text("id\n3\n10\n77\n")
    out = tmp_path / "hits.csv"
    inside("search", "--batch", tmp_path / "ids.csv", "--top", 4, "--out", out, url=filled.url)
    answers = answered(filled, settings, [Request(image, top=4) for image in (3, 10, 77)])
    expected = [("" if one is None else str(one)) for answer in answers for row in numbers(answer) for one in row]
    names = ("rank", "image_id", "probability", *(f"probability_{axis}" for axis in "tdab"), "nothing_similar")
    with out.open() as file:
        assert [row[name] for row in csv.DictReader(file) for name in names] == expected


def test_a_batch_counts_the_queries_with_nothing_similar(
    filled: Database, settings: Settings, inside: Callable[..., Run], tmp_path: Path
) -> None:
    ids = (3, 10, 77, 250, 391)
    nothing = sum(a.similarity.nothing for a in answered(filled, settings, [Request(i) for i in ids]) if a.similarity)
    assert 0 < nothing < len(ids)
    (tmp_path / "ids.csv").write_text("\n".join(["id", *map(str, ids)]))
    batch = ("search", "--batch", tmp_path / "ids.csv", "--out", tmp_path / "hits.csv")
    done = inside(*batch, url=filled.url)
    assert f"{nothing} queries have nothing similar in the archive" in done.stderr
    assert ["nothing_similar", str(nothing)] in [line.split() for line in done.stdout.splitlines()]
    assert inside(*batch, "--json", url=filled.url).json["nothing_similar"] == nothing
    with filled.connection() as connection:
        calibrate(connection, None)
    try:
        assert inside(*batch, "--json", url=filled.url).json["nothing_similar"] is None
    finally:
        with filled.connection() as connection:
            calibrate(connection, replace(fitted(), far=FAR))


def test_json_and_table_say_how_likely_and_what_is_like_nothing(
    filled: Database, settings: Settings, inside: Callable[..., Run]
) -> None:
    pairs = zip(
        (3, 10, 77, 250, 391), answered(filled, settings, [Request(i) for i in (3, 10, 77, 250, 391)]), strict=True
    )
    by = {answer.similarity.nothing: image for image, answer in pairs if answer.similarity}
    similar = inside("search", f"id:{by[False]}", "--json", url=filled.url).json
    assert similar["nothing_similar"] is False
    assert 0 < similar["nearest_distance"] <= 1000 * FAR
    first = next(hit for hit in similar["hits"] if hit["irma_code"])
    assert 0 < first["probability"] <= min(first["axis_probabilities"].values()) < 1
    assert list(first["axis_probabilities"]) == ["T", "D", "A", "B"]
    table = inside("search", f"id:{by[False]}", url=filled.url)
    assert "likely (" in table.stdout
    assert "same code as query" in table.stdout
    assert "nothing similar" not in table.stderr

    nothing = inside("search", f"id:{by[True]}", "--json", url=filled.url).json
    assert nothing["nothing_similar"] is True
    assert nothing["hits"][0]["probability"] is None
    said = inside("search", f"id:{by[True]}", url=filled.url)
    assert "nothing similar in the archive: the nearest films are farther away" in said.stderr
    assert "likely (" not in said.stdout


@pytest.mark.parametrize("profile", [TINY, FUSED], ids=lambda profile: profile.name)
def test_the_answers_that_a_calibration_is_fitted_on_are_those_of_the_archive(
    server: Server, migrated_template: str, profile: Profile
) -> None:
    with server.database(template=migrated_template) as url, Database(url).connection() as connection:
        made = fill(connection, 200)
        connection.execute("UPDATE encoder SET profile = %s WHERE active", (json.dumps(profile.as_json()),))
        asked, learnt = slice(0, 6), slice(6, 200)
        codes = [code or CODES[0] for code in made.classes]
        found = ranked(made.cnnc[0][asked], made.rbc[asked], made.cnnc[0][learnt], made.rbc[learnt], codes[6:], profile)
        for image, answer in enumerate(found, start=1):
            query = f"SELECT image_id, cnnc_distance, rbc_distance FROM retrieve({image}, filter => %s)"
            rows = connection.execute(query, ('{"not_image": [1, 2, 3, 4, 5, 6]}',)).fetchall()
            assert answer.codes == [codes[row["image_id"] - 1] for row in rows]
            assert answer.cnnc == [row["cnnc_distance"] / 1000 for row in rows]
            assert answer.rbc == [row["rbc_distance"] / 4352 for row in rows]
            nearest = connection.execute(
                "SELECT sum(distance)::int AS bits FROM (SELECT distance FROM cnnc_nearest(code_of(%s), 3, NULL, %s) "
                "ORDER BY distance LIMIT 3) n",
                (image, '{"not_image": [1, 2, 3, 4, 5, 6]}'),
            ).fetchone()
            assert nearest is not None
            assert answer.distance == nearest["bits"] / 3000


def test_an_encoder_without_calibration_says_nothing(
    database: Database, settings: Settings, inside: Callable[..., Run]
) -> None:
    with database.connection() as connection:
        fill(connection, 60)
    (answer,) = answered(database, settings, [Request(3)])
    assert answer.similarity is None
    assert told(database, SQL, 3, 10, "{}") == numbers(answer)
    assert {row[2:] for row in numbers(answer)} == {(None,) * 6}
    document = inside("search", "id:3", "--json").json
    assert (document["nothing_similar"], document["nearest_distance"], document["farther_than"]) == (None, None, None)
    assert "likely" not in inside("search", "id:3").stdout

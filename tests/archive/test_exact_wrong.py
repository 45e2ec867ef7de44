"""Damage that the check must find; requests that cannot be; roles that may little; builds and searches at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from anchored import COUNT, Anchored, Truth, asking, disturbed, nearest, refused, rows, sound, text
from databases import Server, database_of
from tiny import add_encoder

from radretrieval.archive import connections, encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.search import exact_check, exact_index
from radretrieval.archive.search import nearest as searches
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, UsageError
from radretrieval.search.request import Request
from radretrieval.search.searcher import Searcher


@pytest.fixture
def connection(indexed: Database) -> Iterator[Any]:
    with asking(indexed.url) as made:
        yield made


@pytest.fixture(scope="module")
def reader(reading: Database) -> Iterator[Any]:
    with asking(reading.url) as made:
        yield made


DAMAGE = {
    "distances": "UPDATE {exact} SET key = key + 1 WHERE image_id = 77",
    "bounds": "UPDATE exact_anchor SET farthest = farthest - 1 WHERE anchor = (SELECT key >> 10 FROM {exact} LIMIT 1)",
    "missing": "DELETE FROM {exact} WHERE image_id IN (77, 78)",
    "extra": "INSERT INTO {exact} SELECT key, facet_id, 10^7, code FROM {exact} WHERE image_id = 77",
    "facets": "UPDATE {exact} SET facet_id = (SELECT max(id) FROM facet) WHERE image_id = (SELECT min(image_id) "
    "FROM {exact} WHERE facet_id <> (SELECT max(id) FROM facet))",
    "cells": "DELETE FROM exact_cell c WHERE (facet_id, anchor) IN (SELECT facet_id, anchor FROM exact_cell LIMIT 1)",
}
ALSO = {  # what besides is amiss then
    "a code": ("UPDATE {exact} SET code = ~code WHERE image_id = 77", {"extra", "distances", "bounds"}),
    "an anchor": ("DELETE FROM exact_anchor WHERE anchor = 0", {"distances"}),
    "nearer": ("UPDATE exact_anchor SET nearest = nearest + 1 WHERE anchor = 1", {"bounds"}),
    "reach": ("UPDATE exact_group SET reach = reach - 1 WHERE first = 0", {"bounds"}),
    "a group": ("DELETE FROM exact_group WHERE first = 0", {"bounds"}),
    "no facet": ("UPDATE {exact} SET facet_id = 0 WHERE image_id = 77", {"facets", "cells"}),
    "all bounds": ("UPDATE exact_anchor SET farthest = least(farthest, 60)", {"bounds", "wrong"}),
}


@pytest.mark.parametrize(
    ("damage", "counters"),
    [*((statement, {name}) for name, statement in DAMAGE.items()), *ALSO.values()],
    ids=[*DAMAGE, *ALSO],
)
def test_the_check_finds_each_damage(reading: Database, anchored: Anchored, damage: str, counters: set[str]) -> None:
    with asking(reading.url) as made:
        encoder = encoders.get(made, anchored.encoder)
        index = rows(made, "SELECT id FROM exact_index")[0][0]
    with connections.connect(reading.url) as made:
        assert made.execute(damage.replace("{exact}", f"exact_{index}")).rowcount > 0
        found = check_within(made, encoder, index)
        assert not found.sound
        named = {name for name in exact_check.asdict(found) if name not in ("codes", "anchors", "queries")}
        assert {name for name in named if getattr(found, name) > 0} >= counters
        assert {name for name in named if getattr(found, name) > 0} <= counters | {"cells", "wrong"}
        made.rollback()


def check_within(connection: Any, encoder: encoders.Encoder, index: int) -> exact_check.ExactCheck:
    """The check as it is, but in the transaction that planted the damage, which is then rolled back."""

    class Here(Database):
        @contextmanager
        def connection(self) -> Iterator[Any]:
            yield connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "snapshot", lambda connection: None)
        return exact_check.check(Here("unused"), encoder, 9, 20)


ONE = "SELECT * FROM cnnc_nearest(repeat('0', 1000)::bit(1000), {})"
WRONG = [
    ("0", "k is 0; it takes a number from 1 to 1000000"),
    ("-5", "k is -5; it takes"),
    ("NULL", "k is NULL; it takes"),
    ("1000001", "k is 1000001; it takes"),
    ("5, 99", "the archive has no encoder 99; it has: 1"),
    *(
        (f"5, NULL, '{given}'", told)
        for given, told in [
            ('{"colour": 1}', "a filter cannot name 'colour'; the columns are: modality, body_part, view_position"),
            ('{"id; DROP TABLE image": 1}', "cannot name 'id; DROP TABLE image'"),
            ('{"rows": "many"}', "the filter rows cannot be 'many'; it is a whole number"),
            ('{"rows": {"from": "99999999999"}}', "the filter rows cannot be '99999999999'"),
            ('{"rows": {"above": 5}}', "rows does not know 'above'; it takes a value, a list of values, {\"not\"} a"),
            ('{"modality": {"from": "A"}}', "the filter modality does not know 'from'"),
            ('{"rows": {"from": null}}', "the filter rows does not know 'from'"),
            ('{"withdrawn": "maybe"}', "the filter withdrawn cannot be 'maybe'; it is true or false"),
            ('{"ingested_at": "2026-02-31"}', "the filter ingested_at cannot be '2026-02-31'; it is a day, as 2026-"),
            ('{"ingested_at": {"before": "soon"}}', "the filter ingested_at cannot be 'soon'"),
            ('{"irma_code": "1121-1*0"}', "'1121-1*0' is no pattern of IRMA codes; each axis of TTTT-DDD-AAA-BBB"),
            ('{"irma_code": "1121-120-942-700-*"}', "is no pattern of IRMA codes"),
            ('{"irma_code": "11-*"}', "is no pattern of IRMA codes"),
            ('{"irma_code": "%*"}', "is no pattern of IRMA codes"),
            ('{"irma_code": "1121"}', "'1121' is not an IRMA code; the form is TTTT-DDD-AAA-BBB"),
            ('{"irma_code": "1121-1%"}', "or a pattern of codes, in which * stands after the beginning of an axis"),
            ('{"one_per": "hospital"}', 'the filter one_per cannot be "hospital"; it is "patient" or "study"'),
            ('{"one_per": null}', 'the filter one_per cannot be null; it is "patient" or "study"'),
            ('{"max_distance": -1}', "the filter max_distance cannot be -1; it is a number from 0 to 1000"),
            ('{"max_distance": "9"}', 'the filter max_distance cannot be "9"'),
            ('{"not_image": "x"}', 'the filter not_image cannot be "x"'),
            ("[1]", "a filter is a JSON object"),
            ('"x"', "a filter is a JSON object"),
        ]
    ),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=[arguments for arguments, _ in WRONG])
def test_what_cannot_be_asked(reader: Any, arguments: str, told: str) -> None:
    assert told in refused(reader, ONE.format(arguments))


def test_codes_of_another_length_and_none(reader: Any) -> None:
    assert "a CNN code has 1000 bits, the query has 8" in refused(reader, "SELECT * FROM cnnc_nearest(B'10101010', 5)")
    assert rows(reader, "SELECT * FROM cnnc_nearest(NULL, 5)") == []


QUOTED = ["O'Hara", '"', "\\", "'; DROP TABLE image; --", "%s", "{index}", "{exact}", "$1", "{rows}", "{source}", "é\n"]


@pytest.mark.parametrize("value", QUOTED)
def test_values_are_values(reader: Any, value: str) -> None:
    """Whatever stands in them: the statements are put together as text."""
    query = np.zeros(125, np.uint8)
    for filter_ in ({"modality": value}, {"patient_key": value}, {"modality": ["CR", value], "patient_key": value}):
        assert nearest(reader, query, 5, filter_) == ([], set())
    expected = nearest(reader, query, 5)[0]
    for filter_ in ({"modality": {"not": value}}, {"patient_key": {"not": value}}, {"not_patient": value}):
        assert nearest(reader, query, 5, filter_)[0] == expected


@pytest.fixture
def role(indexed: Database) -> Iterator[Callable[[str], Database]]:
    """A new role with these rights, and the archive as it is seen by it."""
    name = f"rr_role_{database_of(indexed.url)[-12:]}"

    def make(grants: str) -> Database:
        with asking(indexed.url) as owner:
            owner.execute(f"CREATE ROLE {name} LOGIN")
            owner.execute(f"GRANT {name} TO current_user")
            owner.execute(f"GRANT USAGE ON SCHEMA radretrieval TO {name}; " + grants.replace("role", name))
        mark = "&" if "?" in indexed.url else "?"
        return Database(f"{indexed.url}{mark}options=-crole%3D{name}")

    yield make
    with asking(indexed.url) as owner:
        owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


READ = "GRANT SELECT ON ALL TABLES IN SCHEMA radretrieval TO role;"


def test_who_only_reads_searches_by_a_new_index(
    indexed: Database, anchored: Anchored, connection: Any, role: Callable[[str], Database]
) -> None:
    reader = role(READ)
    truth = Truth(connection, anchored.encoder)
    exact_index.build(indexed, encoders.get(connection, anchored.encoder), 30)
    with asking(reader.url) as made:
        for filter_ in ({}, {"modality": "CR"}, {"view_position": "SOME"}):
            expected = truth.nearest(truth.codes[0], 20, truth.passing(filter_))
            assert nearest(made, truth.codes[0], 20, filter_)[0] == expected
        assert nearest(made, truth.codes[0], 20)[1] == {"exact-index"}
        assert "permission denied" in refused(made, "DELETE FROM cnnc")
        given = (text(truth.codes[0]), '{"sql": "true"}')
        denied = refused(made, "SELECT * FROM cnnc_nearest(%s::bit(1000), 5, NULL, %s)", given)
        assert "permission denied for function filter_sql" in denied
        encoder = encoders.get(made, anchored.encoder)
        with pytest.raises(UsageError, match=r"--where-sql: .*GRANT EXECUTE ON FUNCTION .*filter_sql\(text\)"):
            searches.candidates(made, encoder, 1, truth.codes[0], 5, Filter(sql="true"))
    sound(reader, anchored.encoder)


def test_who_only_inserts_keeps_the_index(
    indexed: Database, anchored: Anchored, connection: Any, role: Callable[[str], Database]
) -> None:
    truth = Truth(connection, anchored.encoder)
    connection.execute("DELETE FROM cnnc WHERE image_id > 7990")
    connection.execute("UPDATE image SET split = 'of the deleted' WHERE id > 7990")
    writer = role("GRANT INSERT ON cnnc TO role; GRANT SELECT ON image TO role")
    with asking(writer.url) as made:
        for image in range(7991, 8001):
            given = (anchored.encoder, image, text(~truth.codes[image - 1]))
            made.execute("INSERT INTO radretrieval.cnnc VALUES (%s, %s, %s::bit(1000))", given)
        assert "permission denied" in refused(made, "SELECT FROM radretrieval.exact_anchor")
    sound(indexed, anchored.encoder)
    found, _ = nearest(connection, ~truth.codes[7995], 10, {"split": "of the deleted"})
    assert len(found) == 10


SQL_WRONG = [
    ("i.rows >", "syntax error"),
    ("i.nothing = 1", "column i.nothing does not exist"),
    ("nothing(i.rows)", "function nothing(integer) does not exist"),
    ("i.rows", "must be type boolean"),
    ("1 / (i.rows - i.rows) = 1", "division by zero"),
    ("true); DELETE FROM radretrieval.image; SELECT (true", "read-only transaction"),
    ("true); DROP TABLE radretrieval.image CASCADE; --", "read-only transaction"),
    ("radretrieval.exact_facets(ARRAY[1::bigint]) IS NULL OR nextval('facet_id_seq') > 0", "read-only transaction"),
]


@pytest.mark.parametrize(("condition", "told"), SQL_WRONG, ids=[condition for condition, _ in SQL_WRONG])
def test_sql_of_ones_own_that_is_wrong_or_writes(reading: Database, reader: Any, condition: str, told: str) -> None:
    encoder = encoders.get(reader)
    counted = "SELECT (SELECT count(*) FROM image), (SELECT count(*) FROM facet)"
    before = rows(reader, counted)
    with pytest.raises(UsageError, match="--where-sql: ") as caught:
        searches.candidates(reader, encoder, 1, np.zeros(125, np.uint8), 5, Filter(sql=condition))
    assert told in str(caught.value)
    assert rows(reader, counted) == before


def test_a_statement_that_takes_too_long(reading: Database, reader: Any) -> None:
    encoder = encoders.get(reader)
    reader.execute("SET statement_timeout = 100")
    slow = Filter(where=(Condition("split", "=", "train"),), sql="pg_sleep(0.01) IS NOT NULL")
    told = r"statement timeout; ask the DBA for .*SET statement_timeout"
    try:
        with pytest.raises(DatabaseUnavailable, match=told), connections.database_errors(reading.url):
            searches.candidates(reader, encoder, 1, np.zeros(125, np.uint8), 5, slow)
    finally:
        reader.execute("RESET statement_timeout")


def test_an_open_searcher_keeps_its_encoder(
    indexed: Database, anchored: Anchored, connection: Any, settings: Settings
) -> None:
    geometry = rows(connection, "SELECT encoder_geometry(%s)", (anchored.encoder,))[0][0]
    zeros = "INSERT INTO barcode SELECT %s, id, decode(repeat('00', 544), 'hex') FROM image"
    connection.execute(zeros, (geometry,))
    truth = Truth(connection, anchored.encoder)
    with Searcher(indexed, settings) as searcher:
        before = searcher.search(Request(query=5))
        with connection.transaction():
            second = add_encoder(connection, seed=1)
            encoders.activate(connection, second)
        after = searcher.search(Request(query=5))
        assert (after.encoder_id, after.hits) == (anchored.encoder, before.hits)
        expected = [hit for hit in truth.nearest(truth.codes[4], 51) if hit[0] != 5]
        assert [(hit.image_id, hit.cnnc_distance) for hit in after.hits] == expected[:10]
        assert after.path == "exact-index"
    with pytest.raises(UsageError, match=f"encoder {second} has no codes to index; run: radretrieval work --once"):
        exact_index.build(indexed, encoders.get(connection, second))


def test_searches_while_indexes_come_and_go(indexed: Database, anchored: Anchored, connection: Any) -> None:
    truth = Truth(connection, anchored.encoder)
    encoder = encoders.get(connection, anchored.encoder)
    asked = [truth.codes[0], disturbed(truth.codes[70], 30)]
    keep = truth.passing({"modality": "CR"})
    expected = [(truth.nearest(query, 30), truth.nearest(query, 30, keep)) for query in asked]
    done = threading.Event()

    def search(_: int) -> set[str]:
        taken: set[str] = set()
        with asking(indexed.url) as made:
            while not done.is_set():
                for query, wanted in zip(asked, expected, strict=True):
                    found, paths = nearest(made, query, 30)
                    assert (found, nearest(made, query, 30, {"modality": "CR"})[0]) == wanted
                    taken |= paths
        return taken

    with ThreadPoolExecutor(4) as threads:
        searching = [threads.submit(search, n) for n in range(4)]
        try:
            for anchors in (10, 100):
                exact_index.drop(indexed, encoder)
                time.sleep(0.1)
                exact_index.build(indexed, encoder, anchors)
            exact_index.build(indexed, encoder, 30)
        finally:
            done.set()
        assert set.union(*(one.result() for one in searching)) == {"exact-index", "exact-scan"}
    tables = rows(connection, "SELECT relname FROM pg_class WHERE relname ~ '^exact_[0-9]+' AND relkind = 'r'")
    assert tables == rows(connection, "SELECT 'exact_' || id FROM exact_index")


def test_one_builder_at_a_time(indexed: Database, anchored: Anchored, connection: Any) -> None:
    encoder = encoders.get(connection, anchored.encoder)
    with psycopg.connect(indexed.url) as other:
        other.execute("SELECT pg_advisory_lock(726632015, %s)", (encoder.id,))
        for refuse in (exact_index.build, exact_index.drop):
            with pytest.raises(UsageError, match="is being built by another process; wait for it, or end"):
                refuse(indexed, encoder)
    sound(indexed, anchored.encoder)
    assert exact_index.build(indexed, encoder).codes == COUNT


def test_a_damaged_page_of_a_b_tree_is_found_by_reading_it_and_by_amcheck(server: Server, anchored: Anchored) -> None:
    if server.backend != "embedded" or os.geteuid() != 0:
        pytest.skip("the server's files are not here, or another user's")
    with server.database(template=anchored.template, strategy="file_copy") as url, asking(url) as connection:
        name = f"cnnc_{anchored.encoder}_pkey"
        ((path,),) = rows(connection, f"SELECT setting || '/' || pg_relation_filepath('{name}') FROM pg_settings "
                          "WHERE name = 'data_directory'")  # fmt: skip
        with Path(path).open("r+b") as file:  # no page of it was read
            file.seek(3 * 8192)
            page = file.read(8192)
            file.seek(3 * 8192)
            file.write(b"\xff" * 64)
        with Database(url).connection() as other:
            encoder = encoders.get(other)
        for install in ("SELECT", "CREATE EXTENSION amcheck"):
            connection.execute(install)
            with pytest.raises(EnvironmentUnusable, match=rf"damaged where {name} is .*REINDEX INDEX {name}"):
                exact_check.check(Database(url), encoder, 0, 20)
        with Path(path).open("r+b") as file:
            file.seek(3 * 8192)
            file.write(page)
        sound(Database(url), anchored.encoder)

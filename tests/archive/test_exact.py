"""The exact index gives what brute force gives: ids, distances, order and ties, whatever it is made of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anchored import COUNT, EQUAL, Anchored, Truth, asking, disturbed, nearest, rows, sound, text
from databases import Server
from numpy.typing import NDArray
from programs import client_programs

from radretrieval.archive import encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.queries import sql
from radretrieval.archive.schema import objects
from radretrieval.archive.search import exact_check, exact_index
from radretrieval.coding.hamming import distances

RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def connection(reading: Database) -> Iterator[Any]:
    with asking(reading.url) as made:
        yield made


@pytest.fixture(scope="module")
def truth(connection: Any, anchored: Anchored) -> Truth:
    return Truth(connection, anchored.encoder)


def queries(truth: Truth) -> list[NDArray[np.uint8]]:
    """Stored, disturbed more and more, and one that is near a cluster of equal codes."""
    codes = [truth.codes[int(place)] for place in RNG.integers(0, COUNT - EQUAL, 3)]
    return [*codes, *(disturbed(codes[0], bits, bits) for bits in (3, 30, 100)), disturbed(truth.codes[-1], 2)]


def index_of(connection: Any) -> int:
    return int(rows(connection, "SELECT id FROM exact_index WHERE live")[0][0])


@pytest.mark.parametrize("k", [1, 7, 50, 120])
def test_by_the_index_as_by_brute_force(connection: Any, truth: Truth, k: int) -> None:
    for query in queries(truth):
        assert nearest(connection, query, k) == (truth.nearest(query, k), {"exact-index"})


@pytest.mark.parametrize("k", [COUNT // 20 + 1, COUNT - 1, COUNT, COUNT + 1, 1_000_000])
def test_for_many_everything_is_compared(connection: Any, truth: Truth, k: int) -> None:
    for query in queries(truth)[::3]:
        assert nearest(connection, query, k) == (truth.nearest(query, k), {"exact-scan"})


def test_for_some_hundreds_either_way_is_right(connection: Any, truth: Truth) -> None:
    for query in queries(truth):
        for k in (200, 400):
            assert nearest(connection, query, k)[0] == truth.nearest(query, k)


def test_far_queries_are_compared_with_everything(connection: Any, truth: Truth) -> None:
    taken = set()
    for query in [*RNG.integers(0, 256, (4, 125), np.uint8), ~truth.codes[5], np.zeros(125, np.uint8)]:
        for k in (1, 50):
            found, paths = nearest(connection, query, k)
            assert found == truth.nearest(query, k)
            taken |= paths
    assert "exact-scan" in taken


def ball(connection: Any, query: NDArray[np.uint8], k: int, most: int = 1000, limit: float = 1e9) -> list[Any]:
    given = (index_of(connection), text(query), k, most, limit)
    return rows(
        connection,
        "SELECT * FROM exact_ball(%s, %s::bit(1000), %s, NULL, false, NULL, 1, '{}', %s, %s)",
        given,
    )


def planned(connection: Any, query: NDArray[np.uint8], k: int, most: int = 1000, limit: float = 1e9) -> list[Any]:
    """By the function of the index, which has the statement for a search without a filter."""
    call = f"SELECT * FROM exact_near_{index_of(connection)}(%s::bit(1000), %s, '{{}}', %s, %s, 4)"
    return rows(connection, call, (text(query), k, most, limit))


@pytest.mark.parametrize("k", [1, 7, 50, 200, 400, COUNT // 2, COUNT + 5])
def test_the_ball_alone_holds_all(connection: Any, truth: Truth, k: int) -> None:
    """Also where a search would not take it: far queries, many hits."""
    for query in [*queries(truth)[::2], *RNG.integers(0, 256, (2, 125), np.uint8)]:
        assert ball(connection, query, k) == truth.nearest(query, k)
        far = sorted(distances(query, truth.codes).tolist())[min(k, COUNT) // 2]
        assert ball(connection, query, k, far) == truth.nearest(query, k, most=far)
    assert ball(connection, query, k, limit=10) == []


@pytest.mark.parametrize("k", [1, 7, 50, 200, 400, COUNT // 2, COUNT + 5])
def test_what_is_planned_once_holds_all_or_nothing(connection: Any, truth: Truth, k: int) -> None:
    """Nothing for queries that are far from everything, and for so many hits that all would have to be read."""
    for query in [*queries(truth), *RNG.integers(0, 256, (2, 125), np.uint8)]:
        true = truth.nearest(query, k)
        assert planned(connection, query, k) in ([], true)
        far = true[min(k, COUNT) // 2][1]
        assert planned(connection, query, k, far) in ([], truth.nearest(query, k, most=far))
    assert planned(connection, query, k, limit=10) == []
    assert k > 50 or planned(connection, truth.codes[9], k) == truth.nearest(truth.codes[9], k)


def test_images_are_left_out_of_the_nearest_cells_too(connection: Any, truth: Truth) -> None:
    query = truth.codes[7]
    out = [image for image, _ in truth.nearest(query, 60)]
    found = nearest(connection, query, 50, {"not_image": out})
    assert found == (truth.nearest(query, 50, ~np.isin(truth.ids, out)), {"exact-index"})


def test_a_session_keeps_the_plan_of_a_search(connection: Any, truth: Truth) -> None:
    """The function of the index has it; without the function a search takes as long as with a filter, and is right."""
    name = f"exact_near_{index_of(connection)}"
    calls = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = %s"
    connection.execute("BEGIN; SET LOCAL track_functions = 'all'")
    for query in queries(truth)[:3]:
        nearest(connection, query, 50)
    assert rows(connection, calls, (name,)) == [(3,)]
    connection.execute(f"DROP FUNCTION {name}")
    assert nearest(connection, query, 50) == (truth.nearest(query, 50), {"exact-index"})
    connection.execute("ROLLBACK")


def test_an_index_of_an_earlier_program_does_not_say_how_many_codes_it_has(connection: Any, truth: Truth) -> None:
    connection.execute("BEGIN")
    connection.execute("UPDATE exact_index SET codes = NULL")
    assert nearest(connection, truth.codes[9], 50) == (truth.nearest(truth.codes[9], 50), {"exact-index"})
    found = connection.execute(sql("index_facts"), {"encoder": 1}).fetchone()
    assert COUNT in (found if isinstance(found, tuple) else found.values())
    connection.execute("ROLLBACK")


def test_ties_come_by_the_hundred(connection: Any, truth: Truth) -> None:
    """EQUAL codes tie at every place: by the index, and in the scan beyond the 200 that it looks at first."""
    same = list(range(COUNT - EQUAL + 1, COUNT + 1))
    for query in (truth.codes[-1], disturbed(truth.codes[-1], 5, 3)):
        found, paths = nearest(connection, query, 3)
        assert (found, paths) == (truth.nearest(query, 3), {"exact-index"})
        assert set(same) <= {image for image, _ in found}
        scan = "SELECT image_id, distance FROM exact_scan(1, %s::bit(1000), %s, NULL, '{}', 1000)"
        for k in (1, 3, EQUAL - 200, EQUAL - 1, EQUAL, EQUAL + 30):
            assert rows(connection, scan, (text(query), k)) == truth.nearest(query, k)
            assert ball(connection, query, k) == truth.nearest(query, k)


@pytest.mark.parametrize("live", [True, False])
def test_beyond_ten_thousand_ties_are_cut(indexed: Database, anchored: Anchored, live: bool) -> None:
    with asking(indexed.url) as connection:
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric) "
            "SELECT sha256(n::text::bytea), 'x' || n, 'png', 1, 1, 8, 'M' FROM generate_series(1, 10500) n"
        )
        if not live:
            connection.execute("DELETE FROM exact_index")
        connection.execute(
            "INSERT INTO cnnc SELECT %s, i.id, c.code FROM image i, cnnc c WHERE i.id > %s AND c.image_id = 1",
            (anchored.encoder, COUNT),
        )
        truth = Truth(connection, anchored.encoder)
        found, paths = nearest(connection, truth.codes[0], 5)
        assert len(found) == 10_005
        assert (found, paths) == (truth.nearest(truth.codes[0], 5), {"exact-index" if live else "exact-scan"})


def answers(url: str, asked: list[NDArray[np.uint8]]) -> list[Any]:
    with asking(url) as connection:
        return [nearest(connection, query, k)[0] for query in asked for k in (1, 50, 120)]


def test_nothing_that_moves_rows_changes_an_answer(indexed: Database, anchored: Anchored, truth: Truth) -> None:
    asked = [*queries(truth)[1:5], RNG.integers(0, 256, 125, np.uint8)]
    before = answers(indexed.url, asked)
    assert before == [truth.nearest(query, k) for query in asked for k in (1, 50, 120)]
    with asking(indexed.url) as connection:
        table = f"exact_{index_of(connection)}"
        key, image = f"{table}_key_idx", f"{table}_pkey"
        for statement in (
            f"CLUSTER {table} USING {image}",
            f"CLUSTER cnnc_{anchored.encoder} USING cnnc_{anchored.encoder}_pkey",
            f"REINDEX TABLE {table}",
            f"CLUSTER {table} USING {key}",
            f"VACUUM FULL {table}",
            "UPDATE cnnc SET code = code WHERE image_id % 3 = 0",
            "VACUUM (ANALYZE)",
            f"DROP INDEX {key}",
        ):
            connection.execute(statement)
            assert answers(indexed.url, asked) == before, statement
    with ThreadPoolExecutor(6) as threads:
        assert all(found == before for found in threads.map(lambda _: answers(indexed.url, asked), range(6)))


@pytest.mark.parametrize("anchors", [1, 3, 700])
def test_any_number_of_anchors_gives_the_same(
    indexed: Database, anchored: Anchored, truth: Truth, anchors: int
) -> None:
    asked = queries(truth)[1:5]
    before = answers(indexed.url, asked)
    with indexed.connection() as connection:
        encoder = encoders.get(connection, anchored.encoder)
    counted: list[int] = []
    built = exact_index.build(indexed, encoder, anchors, counted.append)
    assert (built.codes, sum(counted)) == (COUNT, COUNT)
    assert built.anchors <= anchors
    assert answers(indexed.url, asked) == before
    assert sound(indexed, anchored.encoder).anchors == built.anchors


def test_a_new_one_is_advised_beyond_twice_the_codes(indexed: Database, anchored: Anchored) -> None:
    with indexed.connection() as connection:
        encoder = encoders.get(connection, anchored.encoder)
        assert exact_index.facts(connection, encoder, 2 * COUNT)["advice"] is None
        advice = exact_index.facts(connection, encoder, 2 * COUNT + 1)["advice"]
    assert advice == f"the index was built of {COUNT} codes; build it anew: radretrieval index build"


def test_a_dump_restored_elsewhere_answers_the_same(
    server: Server, indexed: Database, anchored: Anchored, truth: Truth, tmp_path: Path
) -> None:
    programs = client_programs(server)
    asked = queries(truth)[1:5]
    with server.database() as url:
        dump = tmp_path / "archive.dump"
        subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, indexed.url], check=True, capture_output=True)
        subprocess.run([programs / "pg_restore", "-d", url, dump], check=True, capture_output=True)
        assert answers(url, asked) == answers(indexed.url, asked)
        objects.check(Database(url))
        with asking(url) as connection:
            connection.execute("UPDATE cnnc SET code = ~code WHERE image_id < 50")  # the triggers came too
            connection.execute("UPDATE image SET split = 'new' WHERE id < 90")
            assert nearest(connection, asked[0], 50)[1] == {"exact-index"}
        sound(Database(url), anchored.encoder)
        with Database(url).connection() as connection:
            encoder = encoders.get(connection)
        exact_index.build(Database(url), encoder)
        sound(Database(url), anchored.encoder)


def test_a_check_of_an_index_that_is_not_there(indexed: Database, anchored: Anchored) -> None:
    from radretrieval.errors import UsageError

    with indexed.connection() as connection:
        encoder = encoders.get(connection, anchored.encoder)
    exact_index.drop(indexed, encoder)
    with pytest.raises(UsageError, match="has no exact index; build one with: radretrieval index build"):
        exact_check.check(indexed, encoder, 1, 50)

"""The graph of neighbours: exact, filled on, found anew, and counted by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from filled import Filled, build_exact, clustered, fill
from psycopg.rows import tuple_row
from tiny import add_encoder

from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.archive.images import NewImage
from radretrieval.coding.hamming import distances

Graph = dict[int, list[tuple[int, int]]]


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    """Each statement a transaction of its own, as CALL needs it."""
    with database.connection() as made:
        made.commit()
        made.autocommit = True
        yield made


def graph(connection: Any, encoder: int) -> Graph:
    """(distance, id) of the neighbours of each image, by rank."""
    found: Graph = {}
    with connection.cursor(row_factory=tuple_row) as cursor:
        query = "SELECT image_id, rank, distance, neighbour_id FROM neighbour WHERE encoder_id = %s ORDER BY 1, 2"
        for image, rank, distance, neighbour in cursor.execute(query, (encoder,)):
            found.setdefault(image, []).append((distance, neighbour))
            assert rank == len(found[image])
    return found


def wanted(filled: Filled, k: int, place: int = 0, ids: range | None = None) -> Graph:
    cnnc = filled.cnnc[place]
    far = distances(cnnc, cnnc)
    ids = ids or range(1, len(cnnc) + 1)
    return {i: sorted((int(far[i - 1, j - 1]), j) for j in ids if j != i)[:k] for i in ids}


def filled_at(connection: Any) -> dict[int, Any]:
    return {row["image_id"]: row["filled_at"] for row in connection.execute("SELECT * FROM neighbour WHERE rank = 1")}


def test_the_graph_is_numpys(connection: Any) -> None:
    filled = fill(connection, 300)
    connection.execute("CALL fill_neighbours()")
    connection.execute("CALL radretrieval.fill_neighbours(5, %s)", (filled.encoders[1],))
    assert graph(connection, filled.encoders[0]) == wanted(filled, 10)
    assert graph(connection, filled.encoders[1]) == wanted(filled, 5, place=1)


def test_the_graph_by_an_exact_index_is_numpys(connection: Any) -> None:
    count, k = 5200, 12
    cnnc = np.concatenate([clustered(5000, 40, 30), clustered(200, 30, 200, seed=1)])
    cnnc[::70] = cnnc[5001]
    with connection.transaction():
        new = [NewImage(i.to_bytes(32, "big"), f"file:///{i}", "png", 4, 5, 8, "M") for i in range(count)]
        images.add(connection, new)
        encoder = add_encoder(connection)
        codes.write_cnnc(connection, encoder, list(range(1, count + 1)), cnnc, 1000)
    build_exact(connection, encoder, 60)
    query = "SELECT fill_neighbours_batch(%s, %s, %s, 5000, '-infinity') AS reached"
    assert connection.execute(query, (encoder, k, k)).fetchone()["reached"] == count
    far = distances(cnnc[5000:], cnnc)
    assert graph(connection, encoder) == {
        i: sorted((int(far[i - 5001, j - 1]), j) for j in range(1, count + 1) if j != i)[:k]
        for i in range(5001, count + 1)
    }


def test_the_graph_is_filled_where_rows_are_missing(connection: Any) -> None:
    filled = fill(connection, 60)
    first = filled.encoders[0]
    connection.execute("CREATE TEMP TABLE later AS SELECT * FROM cnnc WHERE image_id > 50")
    connection.execute("DELETE FROM cnnc WHERE image_id > 50")
    connection.execute("CALL fill_neighbours(10)")
    before = graph(connection, first)
    assert before == wanted(filled, 10, ids=range(1, 51))
    at = filled_at(connection)
    connection.execute("INSERT INTO cnnc SELECT * FROM later")
    connection.execute("CALL fill_neighbours(10)")
    assert graph(connection, first) == {
        image: before.get(image, near) for image, near in wanted(filled, 10).items()
    }  # the new images have rows, and are in no older one
    assert {image: filled_at(connection)[image] for image in at} == at
    connection.execute("CALL fill_neighbours(3)")
    assert len(graph(connection, first)[1]) == 10
    connection.execute("CALL fill_neighbours(10, again => true)")
    assert graph(connection, first) == wanted(filled, 10)
    connection.execute("CALL fill_neighbours(12)")
    assert graph(connection, first) == wanted(filled, 12)


def test_rows_go_with_either_image_and_are_filled_again(connection: Any) -> None:
    filled = fill(connection, 40)
    connection.execute("CALL fill_neighbours(10)")
    connection.execute("DELETE FROM image WHERE id = 40")
    left = connection.execute("SELECT count(*) FROM neighbour WHERE 40 IN (image_id, neighbour_id)").fetchone()
    assert left["count"] == 0
    connection.execute("CALL fill_neighbours(10)")
    assert graph(connection, filled.encoders[0]) == wanted(filled, 10, ids=range(1, 40))


def test_a_small_archive_has_as_many_neighbours_as_there_are(connection: Any) -> None:
    filled = fill(connection, 4)
    for _ in range(2):
        connection.execute("CALL fill_neighbours(10)")
        assert graph(connection, filled.encoders[0]) == wanted(filled, 10)
    connection.execute("DELETE FROM image WHERE id > 1")
    connection.execute("CALL fill_neighbours(10)")
    assert graph(connection, filled.encoders[0]) == {}


def test_what_cannot_be_filled_says_why(connection: Any) -> None:
    fill(connection, 4)
    for k in ("0", "1001", "NULL"):
        with pytest.raises(psycopg.Error, match=f"k is {k}; a graph of neighbours takes"):
            connection.execute(f"CALL fill_neighbours({k})")
    with pytest.raises(psycopg.Error, match="no encoder 9; it has: 1, 2"):
        connection.execute("CALL fill_neighbours(1, 9)")
    with pytest.raises(psycopg.errors.InvalidTransactionTermination), connection.transaction():
        connection.execute("CALL fill_neighbours(1)")


def test_the_matrix_of_classes(connection: Any) -> None:
    filled = fill(connection, 200)
    with pytest.raises(psycopg.Error, match=r"not filled with 7[^$]*CALL radretrieval.fill_neighbours\(k => 7"):
        connection.execute("SELECT * FROM neighbours_by_class(7)")
    connection.execute("CALL fill_neighbours(8)")
    counted: Counter[tuple[Any, Any]] = Counter()
    for image, near in wanted(filled, 7).items():
        counted.update((filled.classes[image - 1], filled.classes[neighbour - 1]) for _, neighbour in near)
    total = Counter({one: 0 for one, _ in counted})
    for (one, _), relations in counted.items():
        total[one] += relations
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = list(cursor.execute("SELECT * FROM neighbours_by_class(7)"))
    assert {(one, other): relations for one, other, relations, _ in found} == counted
    assert all(np.isclose(share, relations / total[one]) for one, _, relations, share in found)
    with pytest.raises(psycopg.Error, match="not filled with 9"):
        connection.execute("SELECT * FROM neighbours_by_class(9)")


def test_the_matrix_warns_of_images_that_are_missing(connection: Any) -> None:
    fill(connection, 20)
    connection.execute("CALL fill_neighbours(5)")
    connection.execute("DELETE FROM neighbour WHERE image_id = 3")
    told: list[str] = []
    connection.add_notice_handler(lambda notice: told.append(f"{notice.message_primary}; {notice.message_hint}"))
    connection.execute("SELECT * FROM neighbours_by_class(5)")
    (message,) = told
    assert message.startswith("1 of 20 images do not have 5 neighbours in the graph; CALL radretrieval.fill_neighbours")

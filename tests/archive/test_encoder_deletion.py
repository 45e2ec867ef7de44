"""An encoder is deleted with everything that was computed by it, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Run
from filled import Filled, fill
from tiny import add_encoder

import radretrieval as rr
from radretrieval.archive import codes, connections, encoders
from radretrieval.archive.connections import Database
from radretrieval.archive.encoder_deletion import delete
from radretrieval.archive.search import hnsw
from radretrieval.config import Settings
from radretrieval.errors import UsageError


def make(database: Database, cache: Path) -> Filled:
    """Two encoders with all that an encoder can have; the first is active."""
    with database.connection() as connection:
        filled = fill(connection, 100)
        for number in filled.encoders:
            codes.keep_failure(connection, number, 1, "ImageError", "is gone")
            connection.execute(
                "INSERT INTO neighbour (encoder_id, image_id, rank, neighbour_id, distance) "
                "SELECT %s, i, 1, i + 1, 7 FROM generate_series(1, 99) i",
                (number,),
            )
            encoder = encoders.get(connection, number)
            encoders.weights(connection, encoder, cache)
            hnsw.build(connection, encoder)
            hnsw.audit(connection, encoders.get(connection, number), 20, 5)
    with rr.open_archive(settings=Settings(home=cache.parent, database_url=database.url)) as archive:
        for number in filled.encoders:
            archive.build_index(anchors=16, encoder=number)
    return filled


def contents(connection: Any, encoder: int) -> dict[str, int]:
    """How many rows of an encoder each table has, and how many tables and indexes there are of it."""
    tables = ("coding_failure", "hnsw_audit", "neighbour", "exact_index", "cnnc")
    counts = {name: f"SELECT count(*) AS n FROM {name} WHERE encoder_id = {encoder}" for name in tables}
    counts["encoder"] = f"SELECT count(*) AS n FROM encoder WHERE id = {encoder}"
    counts["tables"] = (
        f"SELECT count(*) AS n FROM pg_class WHERE relname LIKE 'cnnc\\_{encoder}%' AND relkind IN ('r', 'i')"
    )
    return {name: connection.execute(query).fetchone()["n"] for name, query in counts.items()}


def exact_tables(connection: Any) -> list[str]:
    rows = connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^exact_[0-9]+(_stage)?$' ORDER BY 1")
    return [row["relname"] for row in rows.fetchall()]


def test_field_24_an_encoder_goes_with_everything_of_it(
    database: Database, inside: Callable[..., Run], tmp_path: Path
) -> None:
    cache = tmp_path / "home" / "weights"
    first, second = make(database, cache).encoders
    with database.connection() as connection:
        before = contents(connection, first)
        barcodes = connection.execute("SELECT count(*) AS n FROM barcode").fetchone()
        assert before == contents(connection, second)
        assert len(exact_tables(connection)) == 2
        wanted = connection.execute("SELECT * FROM similar(7, 5)").fetchall()
    assert all(before.values())
    assert len(list(cache.iterdir())) == 2

    done = inside("encoder", "delete", second, "--json")
    assert done.json == {
        "encoder_id": second,
        "profile": "tiny-fused",
        "codes": 100,
        "coding_failures": 1,
        "neighbours": 99,
        "exact_indexes": 1,
        "hnsw_indexes": 1,
        "audits": 1,
        "cached_weights": 1,
    }
    assert f"encoder {second} (tiny-fused) is deleted, with 100 codes" in done.stderr
    with database.connection() as connection:
        assert set(contents(connection, second).values()) == {0}
        assert contents(connection, first) == before
        assert len(exact_tables(connection)) == 1
        assert connection.execute("SELECT count(*) AS n FROM barcode").fetchone() == barcodes
        assert connection.execute("SELECT * FROM similar(7, 5)").fetchall() == wanted
        assert [encoders.cached_weights(cache, encoders.get(connection, first))] == list(cache.iterdir())
        assert add_encoder(connection, seed=2) == second + 1, "a number is not given twice"
    inside("db", "check")
    assert "no encoder 2; it has: 1, 3" in inside("encoder", "activate", second, check=False).stderr
    assert inside("encoder", "delete", second, check=False).returncode == 2


def test_field_24_the_active_encoder_stays(database: Database, inside: Callable[..., Run], tmp_path: Path) -> None:
    with database.connection() as connection:
        first = add_encoder(connection)
        twin = add_encoder(connection)
        encoders.weights(connection, encoders.get(connection, first), tmp_path / "home" / "weights")
    refused = inside("encoder", "delete", first, check=False)
    assert refused.returncode == 2
    assert f"encoder {first} is active" in refused.stderr
    assert "activate another first" in refused.stderr
    assert inside("encoder", "delete", twin, "--json").json["cached_weights"] == 0
    assert len(list((tmp_path / "home" / "weights").iterdir())) == 1, "another encoder has the same weights"


def test_field_24_it_waits_for_who_uses_the_codes_and_holds_no_search_up(database: Database, tmp_path: Path) -> None:
    with database.connection() as connection:
        first, second = fill(connection, 20).encoders
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
        connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id > 10", (second,))
    worker = connections.connect(database.url)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    claimed, _ = codes.claim(worker, second, geometry, after=0, limit=5, since=since)
    assert [image.image_id for image in claimed] == [11, 12, 13, 14, 15]
    deleted: list[Any] = []
    thread = threading.Thread(target=lambda: deleted.append(delete(database, second, tmp_path)))
    thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    with database.connection() as connection:
        assert len(connection.execute("SELECT * FROM similar(1, 5)").fetchall()) == 5
    assert time.monotonic() - started < 4, "a search waits for one attempt at most"
    assert not deleted
    codes.write_cnnc(worker, second, [11], codes.of_splits(worker, first, geometry, None).cnnc[:1], 1000)
    worker.commit()
    thread.join(30)
    assert deleted[0].codes == 11, "what the worker has written meanwhile is counted"
    assert codes.claim(worker, second, geometry, after=0, limit=5, since=since) == ([], 0)
    worker.close()


def test_field_24_the_api_deletes_what_it_has_just_searched_with(database: Database, tmp_path: Path) -> None:
    with database.connection() as connection:
        first, second = fill(connection, 20).encoders
    with rr.open_archive(settings=Settings(home=tmp_path, database_url=database.url)) as archive:
        assert archive.search(1, encoder=second).encoder_id == second
        assert archive.delete_encoder(second).codes == 20
        with pytest.raises(UsageError, match=f"no encoder {second}"):
            archive.search(1, encoder=second)
        assert archive.search(1).encoder_id == first


@pytest.mark.parametrize(
    "statement", ["DELETE FROM encoder WHERE id = 2", "UPDATE encoder SET id = DEFAULT", "TRUNCATE encoder CASCADE"]
)
def test_an_encoder_stays_while_its_table_of_codes_is_there(database: Database, statement: str) -> None:
    """No foreign key says so: it would look the encoder up once for each code."""
    with database.connection() as connection:
        fill(connection, 3)
    for emptied in ("SELECT 1", "DELETE FROM cnnc"):  # an empty one may be written to, as soon as the encoder is gone
        with database.connection() as connection:
            connection.execute(emptied)
            with pytest.raises(psycopg.errors.ForeignKeyViolation, match="is needed by its codes, the table cnnc_"):
                connection.execute(statement)
            connection.rollback()
    with database.connection() as connection:
        connection.execute("DROP TABLE cnnc_1, cnnc_2")
        connection.execute(statement)

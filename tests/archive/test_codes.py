"""Codes in the database: bit for bit what was written, claimed once, found by distance and id."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pytest
from nodes import until
from tiny import add_encoder

from radretrieval.archive import codes, connections, encoders, images
from radretrieval.archive.connections import Database
from radretrieval.archive.filters import Condition, Filter
from radretrieval.archive.images import NewImage
from radretrieval.archive.pending import Claims
from radretrieval.archive.search import hnsw, nearest, stored
from radretrieval.coding.hamming import distances
from radretrieval.errors import EnvironmentUnusable, NoEncoder, UsageError
from radretrieval.irma.tree import describe

RNG = np.random.default_rng(0)
DECODED = [
    "0000-000-000-000",
    "1121-120-942-700",
    "1121-127-700-500",
    "1124-410-620-625",
    "112d-121-500-000",
    "9zzz-c00-abc-c10",
]
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def new_image(number: int, **columns: Any) -> NewImage:
    basics: dict[str, Any] = {
        "sha256": number.to_bytes(32, "big"),
        "uri": f"file:///{number}.png",
        "format": "png",
        "rows": 4,
        "columns": 5,
        "bits_stored": 8,
        "photometric": "MONOCHROME2",
    }
    return NewImage(**(basics | columns))


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    with database.connection() as made:
        yield made


def fill(connection: Any, n: int, bytes_: np.ndarray | None = None) -> tuple[int, int, np.ndarray, np.ndarray]:
    """n images with codes and barcodes; the encoder, the geometry, codes and barcodes."""
    images.add(connection, [new_image(i, split="a" if i % 2 else "b", modality="CR") for i in range(n)])
    encoder = add_encoder(connection)
    geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    cnnc = RNG.integers(0, 256, (n, 125), np.uint8) if bytes_ is None else bytes_
    rbc = RNG.integers(0, 256, (n, 544), np.uint8)
    ids = list(range(1, n + 1))
    codes.write_cnnc(connection, encoder, ids, cnnc, 1000)
    codes.write_barcodes(connection, geometry, ids, rbc)
    return encoder, geometry, cnnc, rbc


def test_codes_come_back_bit_for_bit(connection: Any) -> None:
    encoder, geometry, cnnc, rbc = fill(connection, 20)
    found = codes.of_splits(connection, encoder, geometry, None)
    assert np.array_equal(found.cnnc, cnnc)
    assert np.array_equal(found.rbc, rbc)
    assert found.image_ids.tolist() == list(range(1, 21))
    (image,) = stored.by_ids(connection, encoder, geometry, [7]).values()
    assert np.array_equal(image.cnnc, cnnc[6])
    assert np.array_equal(image.rbc, rbc[6])
    text = connection.execute("SELECT code::text AS code FROM cnnc WHERE image_id = 7").fetchone()["code"]
    assert text == nearest.bit_text(cnnc[6]) == "".join(map(str, np.unpackbits(cnnc[6])))
    assert codes.of_splits(connection, encoder, geometry, ["a"]).image_ids.tolist() == list(range(2, 21, 2))
    (image,) = stored.by_ids(connection, encoder, geometry + 1, [7]).values()
    assert (image.cnnc, image.rbc) == (None, None)


def test_a_file_with_frames_is_its_first_image(connection: Any) -> None:
    """As a query by its content, in whichever order its frames were stored."""
    sha256 = bytes(32)
    images.add(connection, [new_image(i, sha256=sha256, frame=frame) for i, frame in enumerate((2, 1, 3))])
    (first,) = connection.execute("SELECT id FROM image WHERE frame = 1")
    assert stored.by_contents(connection, 1, 1, [sha256])[sha256].image_id == first["id"]
    other = b"\1" * 32
    assert stored.by_contents(connection, 1, 1, [other, sha256])[sha256].image_id == first["id"]
    assert stored.by_contents(connection, 1, 1, []) == stored.by_ids(connection, 1, 1, [-1, 2**70]) == {}


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [((3, 124), psycopg.DataError, "bit string length 992"), ((2, 125), ValueError, "codes must be uint8")],
)
def test_codes_of_a_wrong_shape_are_refused(
    connection: Any, shape: tuple[int, int], error: type[Exception], message: str
) -> None:
    encoder, _, _, _ = fill(connection, 1)
    images.add(connection, [new_image(i) for i in range(10, 13)])
    with pytest.raises(error, match=message):
        codes.write_cnnc(connection, encoder, [2, 3, 4], np.zeros(shape, np.uint8), shape[1] * 8)


def test_the_nearest_are_those_of_numpy_ties_by_id(connection: Any) -> None:
    # few distinct bytes make many ties
    cnnc = np.repeat(RNG.integers(0, 2, (60, 1), np.uint8) * 255, 125, axis=1)
    cnnc[:, 0] = RNG.integers(0, 4, 60)
    number, geometry, _, rbc = fill(connection, 60, cnnc)
    encoder = encoders.get(connection, number)
    for query in (cnnc[0], np.zeros(125, np.uint8), RNG.integers(0, 256, 125, np.uint8)):
        found, path = nearest.candidates(connection, encoder, geometry, query, 50)
        far = distances(query, cnnc)
        every = sorted(zip(far.tolist(), range(1, 61), strict=True))
        wanted = [(distance, image) for distance, image in every if distance <= every[49][0]]
        assert [(hit.cnnc_distance, hit.image_id) for hit in found] == wanted
        assert all(hit.barcode == rbc[hit.image_id - 1].tobytes() for hit in found)
        assert path == "exact-scan"


def test_filters_and_exclusions_leave_k_of_the_rest(connection: Any) -> None:
    number, geometry, cnnc, _ = fill(connection, 40)
    encoder = encoders.get(connection, number)
    connection.execute("UPDATE image SET patient_key = 'p' WHERE id <= 10")
    wanted = Filter(
        where=(Condition("split", "=", "a"), Condition("modality", "=", "CR")), not_images=(2,), not_patient="p"
    )
    found, _ = nearest.candidates(connection, encoder, geometry, cnnc[1], 10, wanted)
    far = distances(cnnc[1], cnnc)
    allowed = range(12, 41, 2)
    assert [hit.image_id for hit in found] == sorted(allowed, key=lambda i: (far[i - 1], i))[:10]
    none = Filter(where=(Condition("modality", "=", "XX"),))
    nothing, _ = nearest.candidates(connection, encoder, geometry, cnnc[1], 10, none)
    assert nothing == []
    wrong = Filter(where=(Condition("id; DROP TABLE image", "=", "1"),))
    with pytest.raises(UsageError, match="cannot name 'id; DROP TABLE image'; the columns are: modality,"):
        nearest.candidates(connection, encoder, geometry, cnnc[1], 10, wrong)


def test_withdrawn_images_are_found_and_can_be_left_out(connection: Any) -> None:
    number, geometry, cnnc, _ = fill(connection, 6)
    encoder = encoders.get(connection, number)
    connection.execute("UPDATE image SET withdrawn = true WHERE id IN (2, 4)")

    def found(*where: tuple[str, str]) -> list[int]:
        wanted = Filter(where=tuple(Condition(column, "=", value) for column, value in where))
        hits, _ = nearest.candidates(connection, encoder, geometry, cnnc[1], 10, wanted)
        return sorted(hit.image_id for hit in hits)

    assert found() == [1, 2, 3, 4, 5, 6]
    assert found(("withdrawn", "false")) == [1, 3, 5, 6]
    assert found(("withdrawn", "true"), ("split", "a")) == [2, 4]
    with pytest.raises(UsageError, match="withdrawn cannot be 'maybe'; it is true or false"), connection.transaction():
        found(("withdrawn", "maybe"))
    assert found(("withdrawn", "")) == []  # none lacks it


def test_what_is_withdrawn_is_neither_learnt_nor_scored(connection: Any) -> None:
    kept, taken = "1121-120-942-700", "1121-120-700-400"
    given = [(kept, False), (taken, True), (None, False)]
    images.add(
        connection,
        [new_image(i, irma_code=code, split="train", withdrawn=flag) for i, (code, flag) in enumerate(given)],
    )
    assert [row["irma_code"] for row in images.training(connection, "train")] == [kept]
    assert images.left_out(connection, ["train"], False) == {"labelled": 1, "unlabelled": 1, "withdrawn": 1}
    assert images.left_out(connection, None, True) == {"labelled": 2, "unlabelled": 1, "withdrawn": 0}


def test_a_label_stays_withdrawn_until_there_is_another(connection: Any) -> None:
    images.add(connection, [new_image(0, irma_code="1121-120-700-400", withdrawn=True), new_image(1)])

    def withdrawn(image_id: int, **labels: Any) -> tuple[bool, bool]:
        changed = images.relabel(connection, image_id, labels)
        query = "SELECT withdrawn FROM image WHERE id = %s"
        return changed, connection.execute(query, (image_id,)).fetchone()["withdrawn"]

    assert withdrawn(1, irma_code="1121-120-700-400", split="train") == (True, True)
    assert withdrawn(1, irma_code="1121-120-942-700") == (True, False)
    assert withdrawn(1, withdrawn=True) == (True, True)
    assert withdrawn(1, withdrawn=True) == (False, True)
    assert withdrawn(2, split="train") == (True, False)


def test_hnsw_is_used_when_built_and_never_returns_fewer(connection: Any) -> None:
    number, geometry, cnnc, _ = fill(connection, 300)
    encoder = encoders.get(connection, number)
    assert not encoder.hnsw
    with pytest.raises(UsageError, match="index build --kind hnsw"):
        hnsw.audit(connection, encoder, 50, 5)
    assert hnsw.build(connection, encoder) == 300
    encoder = encoders.get(connection, number)
    assert encoder.hnsw
    plan = explain_hnsw(connection, encoder, cnnc[0])
    assert "cnnc_1_hnsw" in plan
    found, path = nearest.candidates(connection, encoder, geometry, cnnc[0], 50, Filter(not_images=(1,)))
    assert path == "hnsw"
    assert len(found) >= 50
    assert 1 not in [hit.image_id for hit in found]
    assert [hit.cnnc_distance for hit in found] == sorted(hit.cnnc_distance for hit in found)
    # a filter would thin the graph's answer: it goes the exact way
    half = Filter(where=(Condition("split", "=", "a"),))
    filtered, path = nearest.candidates(connection, encoder, geometry, cnnc[0], 50, half)
    assert path == "exact-filter"
    assert len(filtered) >= 50
    count, mean, worst = hnsw.audit(connection, encoder, 50, 20)
    assert count == 300
    assert 0.9 < worst <= mean <= 1
    hnsw.drop(connection, encoder)
    assert not encoders.get(connection, number).hnsw


def explain_hnsw(connection: Any, encoder: encoders.Encoder, code: np.ndarray) -> str:
    """The plan of the statement as `candidates` runs it."""
    from radretrieval.archive.queries import sql

    values = {"code": nearest.bit_text(code), "encoder": encoder.id, "geometry": 1, "limit": 50}
    with connection.transaction():
        connection.execute(sql("hnsw_settings"), {"ef": "400"})
        rows = connection.execute("EXPLAIN " + sql("nearest_hnsw"), values).fetchall()
        connection.execute(sql("hnsw_settings_off"))
    return "\n".join(row["QUERY PLAN"] for row in rows)


def test_two_claims_never_hold_the_same_image(database: Database) -> None:
    with database.connection() as connection:
        images.add(connection, [new_image(i) for i in range(25)])
        encoder = add_encoder(connection)
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    with (
        Claims(database.url, encoder, geometry, 10, LONG_AGO) as one,
        Claims(database.url, encoder, geometry, 10, LONG_AGO) as other,
    ):
        held = [claim for claims in (one, other, one, other) if (claim := claims.next())]
        ids = [image.image_id for _, batch in held for image in batch]
        assert sorted(ids) == list(range(1, 26))
        connection, batch = held[0]
        codes.write_cnnc(connection, encoder, [image.image_id for image in batch], np.zeros((10, 125), np.uint8), 1000)
        connection.commit()
    with database.connection() as connection:  # the server ends a session some time after its client
        others = "SELECT FROM pg_locks WHERE relation = 'image'::regclass AND pid <> pg_backend_pid()"
        until(lambda: connection.execute(others).rowcount == 0, "the claims are not given back")
    with Claims(database.url, encoder, geometry, 100, LONG_AGO) as rest:
        claim = rest.next()
        assert claim is not None
        assert [image.image_id for image in claim[1]] == list(range(11, 26))


def test_a_claim_never_waits_while_it_holds_another_batch(database: Database) -> None:
    """Else it and a change of the schema that waits for the batch would wait for each other for ever."""
    with database.connection() as connection:
        images.add(connection, [new_image(i) for i in range(20)])
        encoder = add_encoder(connection)
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    with Claims(database.url, encoder, geometry, 10, LONG_AGO) as claims:
        first = claims.next()
        assert first is not None
        ddl = connections.connect(database.url)
        waiting = threading.Thread(target=lambda: ddl.execute("LOCK TABLE cnnc IN ACCESS EXCLUSIVE MODE"))
        waiting.start()
        with database.connection() as watcher:
            while not watcher.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
                time.sleep(0.05)
                watcher.rollback()
        assert claims.next() is None  # not now
        first[0].rollback()  # the batch ends: the change goes through, and the next claim after it
        claims.give_back(first[0])
        waiting.join(30)
        assert not waiting.is_alive()
        ddl.close()
        assert claims.next() is not None


def test_a_batch_is_written_whatever_it_waits_for(database: Database) -> None:
    """An index that is being built holds writers up for minutes; the haste of a claim must not outlast the claim."""
    with database.connection() as connection:
        images.add(connection, [new_image(i) for i in range(20)])
        encoder = add_encoder(connection)
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    with Claims(database.url, encoder, geometry, 10, LONG_AGO) as claims:
        claims.next()
        second = claims.next()
        assert second is not None
        held, batch = second
        builder = connections.connect(database.url)
        builder.execute(f"LOCK TABLE cnnc_{encoder} IN SHARE MODE")
        free = threading.Timer(1, builder.rollback)
        free.start()
        codes.write_cnnc(held, encoder, [image.image_id for image in batch], np.zeros((10, 125), np.uint8), 1000)
        held.commit()
        free.join()
        builder.close()


def test_encoders_are_added_and_switched_one_at_a_time(database: Database) -> None:
    def add(seed: int) -> int:
        with database.connection() as connection:
            return add_encoder(connection, seed)

    def switch(number: int) -> None:
        with database.connection() as connection:
            encoders.activate(connection, number)

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(add, range(4))) == [1, 2, 3, 4]
        list(threads.map(switch, [1, 2, 3, 4] * 5))
    with database.connection() as connection:
        assert sum(row["active"] for row in encoders.listed(connection)) == 1


def test_the_same_images_added_twice_at_once_in_other_orders(database: Database) -> None:
    def add(order: int) -> int:
        with database.connection() as connection:
            return len(images.add(connection, [new_image(i) for i in range(300)][::order]))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(add, [1, -1, 1, -1])) == 300


def test_what_was_coded_between_snapshot_and_lock_is_not_claimed(database: Database) -> None:
    """The one race of SKIP LOCKED: the snapshot of a claim is older than another worker's commit. A row policy that
    takes an advisory lock stops the claim between its snapshot and its row locks."""
    with database.connection() as connection:
        images.add(connection, [new_image(i) for i in range(3)])
        encoder = add_encoder(connection)
        geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
        connection.execute(
            "CREATE ROLE claimer; GRANT ALL ON SCHEMA radretrieval TO claimer;"
            "GRANT ALL ON ALL TABLES IN SCHEMA radretrieval TO claimer; ALTER TABLE image ENABLE ROW LEVEL SECURITY;"
            "CREATE FUNCTION gate() RETURNS boolean LANGUAGE sql VOLATILE AS"
            " $$SELECT pg_advisory_xact_lock_shared(42) IS NOT NULL$$;"
            "CREATE POLICY gate ON image USING (gate())"
        )
    gate = connections.connect(database.url)
    gate.execute("SELECT pg_advisory_xact_lock(42)")

    def claim() -> tuple[list[codes.Pending], int]:
        with database.connection() as connection:
            connection.execute("SET ROLE claimer")
            return codes.claim(connection, encoder, geometry, after=0, limit=10, since=LONG_AGO)

    try:
        with ThreadPoolExecutor(1) as threads:
            claimed = threads.submit(claim)
            with database.connection() as connection:
                for _ in range(500):
                    if connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").rowcount:
                        break
                    time.sleep(0.02)
                else:
                    pytest.fail("the claim did not reach the policy")
                codes.write_cnnc(connection, encoder, [2], np.zeros((1, 125), np.uint8), 1000)
                codes.write_barcodes(connection, geometry, [3], np.zeros((1, 544), np.uint8))
            gate.rollback()
            pending, reached = claimed.result(30)
    finally:
        gate.close()
        with database.connection() as connection:
            connection.execute("DROP POLICY gate ON image; DROP OWNED BY claimer; DROP ROLE claimer")
    assert [(image.image_id, image.barcoded) for image in pending] == [(1, False), (3, True)]
    assert reached == 3


def test_before_the_first_exact_index_any_isolation_will_do(database: Database) -> None:
    with database.connection() as connection:
        images.add(connection, [new_image(0)])
        encoder = add_encoder(connection)
    with database.connection() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        codes.write_cnnc(connection, encoder, [1], np.zeros((1, 125), np.uint8), 1000)
        connection.execute("UPDATE image SET split = 'late'")


def test_a_failed_image_waits_and_is_tried_by_the_next_run(database: Database) -> None:
    with database.connection() as connection:
        images.add(connection, [new_image(1)])
        encoder = add_encoder(connection)
        start = codes.now(connection)
        codes.keep_failure(connection, encoder, 1, "ImageError", "is gone")
        codes.keep_failure(connection, encoder, 1, "ImageError", "is gone still")
    with database.connection() as connection:
        assert codes.claim(connection, encoder, 1, after=0, limit=9, since=start) == ([], 0)
        assert codes.claim(connection, encoder, 1, after=0, limit=9, since=start, again=True) == ([], 0)
        later = codes.now(connection)
        pending, _ = codes.claim(connection, encoder, 1, after=0, limit=9, since=later)
        assert len(pending) == 1
        connection.execute("UPDATE coding_failure SET last_at = now() - interval '5 minutes'")
        assert codes.claim(connection, encoder, 1, after=0, limit=9, since=LONG_AGO) == ([], 0)  # once is once
        pending, _ = codes.claim(connection, encoder, 1, after=0, limit=9, since=LONG_AGO, again=True)
        assert len(pending) == 1
        row = connection.execute("SELECT attempts, message FROM coding_failure").fetchone()
        assert (row["attempts"], row["message"]) == (2, "is gone still")
        codes.write_cnnc(connection, encoder, [1], np.zeros((1, 125), np.uint8), 1000)
        assert connection.execute("SELECT count(*) FROM coding_failure").fetchone()["count"] == 0


def test_codes_go_with_their_image(connection: Any) -> None:
    fill(connection, 3)
    connection.execute("DELETE FROM image WHERE id = 2")
    assert [row["image_id"] for row in connection.execute("SELECT image_id FROM cnnc ORDER BY 1")] == [1, 3]
    assert [row["image_id"] for row in connection.execute("SELECT image_id FROM barcode ORDER BY 1")] == [1, 3]


def test_one_encoder_is_active_and_the_switch_goes_both_ways(connection: Any) -> None:
    with pytest.raises(NoEncoder, match="radretrieval train"):
        encoders.get(connection)
    first, second = add_encoder(connection), add_encoder(connection, seed=1)
    assert encoders.get(connection).id == first
    encoders.activate(connection, second)
    assert [(row["encoder_id"], row["active"]) for row in encoders.listed(connection)] == [
        (first, False),
        (second, True),
    ]
    encoders.activate(connection, first)
    assert encoders.get(connection).id == first
    with pytest.raises(UsageError, match="no encoder 99; it has: 1, 2"):
        encoders.activate(connection, 99)
    connection.execute("UPDATE encoder SET active = false")
    with pytest.raises(NoEncoder, match="encoder activate ID .one of 1, 2."):
        encoders.get(connection)


def test_weights_are_cached_by_hash_and_damaged_ones_are_not_believed(connection: Any, tmp_path: Any) -> None:
    from tiny import TINY, weights

    encoder = encoders.get(connection, add_encoder(connection))
    assert encoder.profile == TINY
    assert encoders.weights(connection, encoder, tmp_path / "cache") == weights()
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(b"damaged")
    assert encoders.weights(connection, encoder, tmp_path / "cache") == weights()
    assert cached.read_bytes() == weights()
    connection.execute("UPDATE encoder SET weights = set_bit(weights, 9, 1 - get_bit(weights, 9))")
    assert encoders.weights(connection, encoder, tmp_path / "cache") == weights()
    cached.unlink()
    with pytest.raises(EnvironmentUnusable, match="the weights of encoder 1 are damaged"):
        encoders.weights(connection, encoder, tmp_path / "cache")
    assert not cached.exists()


def test_irma_codes_in_words(connection: Any) -> None:
    words = [describe(code) for code in DECODED]
    images.add(connection, [new_image(i, irma_code=code) for i, code in enumerate(DECODED, start=2)])
    images.add(connection, [new_image(1)])
    rows = connection.execute("SELECT * FROM image_decoded ORDER BY irma_code").fetchall()
    assert [(r["technique"], r["direction"], r["anatomy"], r["biosystem"]) for r in rows] == [*words, (None,) * 4]
    assert words[2][2] == "abdomen"
    with pytest.raises(
        psycopg.errors.CheckViolation, match="'1121-127' is not an IRMA code; the form is TTTT-DDD-AAA-BBB"
    ):
        images.add(connection, [new_image(3, irma_code="1121-127")])

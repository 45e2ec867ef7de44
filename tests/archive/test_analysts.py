"""SQL for analysts says what Python says: similar images, two-stage queries, near duplicates, views, comments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from filled import Filled, build_exact, clustered, fill
from numpy.typing import NDArray
from psycopg.rows import tuple_row
from tiny import FUSED, TINY, add_encoder

from radretrieval.archive import codes, images
from radretrieval.archive.connections import Database
from radretrieval.coding.hamming import distances
from radretrieval.coding.rerank import Weights, rerank


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    with database.connection() as made:
        yield made


def rows(connection: Any, query: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return list(cursor.execute(query, values))


def refused(connection: Any, query: str) -> str:
    """The message of the error that a query ends with; the transaction goes on."""
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        connection.execute(query)
    return str(caught.value)


def nearest_ids(cnnc: NDArray[np.uint8], image: int, k: int, among: list[int] | None = None) -> list[tuple[int, int]]:
    """(distance, id) of the k images nearest to one, never itself."""
    far = distances(cnnc[image - 1], cnnc)
    ids = [i for i in (among or range(1, len(cnnc) + 1)) if i != image]
    return sorted((int(far[i - 1]), i) for i in ids)[:k]


def test_barcode_distances_are_numpys(connection: Any) -> None:
    rng = np.random.default_rng(0)
    for length in (1, 7, 544):
        one, other = rng.integers(0, 256, (2, 50, length), np.uint8)
        found = [
            rows(connection, "SELECT rbc_distance(%s, %s)", (a.tobytes(), b.tobytes()))[0][0]
            for a, b in zip(one, other, strict=True)
        ]
        assert found == [int(distances(a, b[None])[0]) for a, b in zip(one, other, strict=True)]
    assert rows(connection, "SELECT rbc_distance('', ''::bytea), rbc_distance(NULL, ''::bytea)") == [(0, None)]
    assert "1 and 2 bytes cannot be compared" in refused(connection, r"SELECT rbc_distance('\x00', '\x0000'::bytea)")


def test_similar_are_exactly_k_ties_by_id_never_itself(connection: Any) -> None:
    filled = fill(connection)
    for place, cnnc in enumerate(filled.cnnc):
        encoder = None if place == 0 else filled.encoders[place]
        for image in (1, 7, 250):
            found = rows(connection, "SELECT rank, distance, image_id FROM similar(%s, 25, %s)", (image, encoder))
            assert found == [(n, *hit) for n, hit in enumerate(nearest_ids(cnnc, image, 25), start=1)]
    assert len(rows(connection, "SELECT * FROM similar(1, 1000)")) == 399
    found = rows(connection, "SELECT irma_code, uri FROM similar_to(code_of(3), 1)")
    assert found == [(filled.classes[2], "file:///2.png")]


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ('{"body_part": "CHEST"}', lambda i: i % 2 == 0),
        ('{"not_image": 9}', lambda i: i != 9),
        ('{"not_image": [9, 12], "modality": "DX"}', lambda i: i not in (9, 12) and (i - 1) % 3 == 0),
        ('{"not_image": null}', lambda i: True),
        ('{"irma_code": "1121-*"}', lambda i: (i - 1) % 10 != 9 and (i - 1) % 5 != 3),
    ],
)
def test_similar_under_a_filter(connection: Any, given: str, passes: Any) -> None:
    filled = fill(connection, 200)
    among = [i for i in range(1, 201) if passes(i)]
    found = rows(connection, "SELECT distance, image_id FROM similar(7, 30, filter => %s)", (given,))
    assert found == nearest_ids(filled.cnnc[0], 7, 30, among)


def test_what_cannot_be_asked_for_says_what_to_do(connection: Any) -> None:
    assert "no encoder yet; run: radretrieval train" in refused(connection, "SELECT * FROM similar(1)")
    first, second = fill(connection, 20).encoders
    connection.execute("DELETE FROM cnnc WHERE image_id = 5 AND encoder_id = %s", (first,))
    connection.execute("DELETE FROM barcode WHERE image_id = 6")
    assert "no image 99; radretrieval.image lists" in refused(connection, "SELECT * FROM similar(99)")
    todo = f"image 5 has no code of encoder {first} yet; run: radretrieval work --once --encoder {first}"
    for query in ("similar(5)", "retrieve(5)", "image_distance(1, 5)"):
        assert todo in refused(connection, f"SELECT * FROM {query}")
    codes.keep_failure(connection, first, 5, "ImageError", "is gone")
    assert "1 attempts; ImageError, is gone); mend its file" in refused(connection, "SELECT * FROM retrieve(5)")
    assert "6 has a code of encoder 1 but no barcode" in refused(connection, "SELECT * FROM retrieve(6)")
    assert rows(connection, "SELECT why_no_code(7), why_no_code(5, %s)", (second,)) == [(None, None)]
    assert f"no encoder 9; it has: {first}, {second}" in refused(connection, "SELECT * FROM similar(1, encoder => 9)")
    assert "1 <= top <= candidates" in refused(connection, "SELECT * FROM retrieve(1, 51)")
    assert "k is 0; it takes" in refused(connection, "SELECT * FROM similar(1, 0)")
    connection.execute("UPDATE encoder SET active = false")
    assert "no encoder is active; name one (1, 2)" in refused(connection, "SELECT * FROM retrieve(1)")


def test_retrieve_is_pythons_two_stages_hit_for_hit(connection: Any) -> None:
    """500 queries; the codes lie in clusters, so that most of them tie at the last candidate and at the last hit."""
    filled = fill(connection, 600, flips=4)
    connection.execute("DELETE FROM barcode WHERE image_id > 570")
    rng = np.random.default_rng(5)
    tied = 0
    for query in range(500):
        place, used = int(rng.integers(570)), query % 2
        encoder, weights = filled.encoders[used], Weights.of((TINY, FUSED)[used])
        cnnc, rbc = filled.cnnc[used][place], filled.rbc[place]
        near = rows(
            connection,
            'SELECT n.image_id, n.distance FROM cnnc_nearest(%s::text::bit(1000), 50, %s, \'{"split": "train"}\') n',
            ("".join(map(str, np.unpackbits(cnnc))), encoder),
        )
        tied += len(near) > 50
        near = [hit for hit in near if hit[0] <= 570]
        ids = np.array([image for image, _ in near])
        order, rbc_far = rerank(rbc, filled.rbc[ids - 1], [far for _, far in near], ids, weights)
        wanted = [(n, int(ids[at]), near[at][1], int(rbc_far[at])) for n, at in enumerate(order[:10], start=1)]
        found = rows(
            connection,
            "SELECT rank, image_id, cnnc_distance, rbc_distance "
            'FROM retrieve_by(code_of(%s, %s), barcode_of(%s), encoder => %s, filter => \'{"split": "train"}\')',
            (place + 1, encoder, place + 1, encoder),
        )
        assert found == wanted, query
    assert tied > 300


def test_retrieve_leaves_the_query_out_and_compares_within_its_encoder(connection: Any) -> None:
    filled = fill(connection, 100)
    for place, cnnc in enumerate(filled.cnnc):
        near = nearest_ids(cnnc, 7, 50)
        last = near[-1][0]
        near = [hit for hit in nearest_ids(cnnc, 7, 99) if hit[0] <= last]
        far = distances(filled.rbc[6], filled.rbc)
        wanted = sorted((int(far[image - 1]), near_far, image) for near_far, image in near)
        if place == 1:  # its profile orders by both
            wanted.sort(key=lambda hit: 1000 * hit[0] + 4352 * hit[1])
        wanted = wanted[:20]
        found = rows(
            connection,
            "SELECT rbc_distance, cnnc_distance, image_id FROM retrieve(7, 20, encoder => %s)",
            (filled.encoders[place],),
        )
        assert found == wanted
    (found,) = rows(connection, "SELECT cnnc_distance, rbc_distance, irma_error FROM image_distance(7, 12)")
    assert found[:2] == (distances(filled.cnnc[0][6], filled.cnnc[0][[11]])[0], far[11])
    assert found[2] == 0


def test_where_both_distances_weigh_the_same_the_barcode_decides(connection: Any) -> None:
    """125 bits of a code are the share that 544 of a barcode are; a division would leave it to rounding."""
    filled = fill(connection, 10)
    encoder, geometry = filled.encoders[1], filled.geometry
    bits, bars = np.zeros((10, 1000), np.uint8), np.zeros((10, 4352), np.uint8)
    for place, (near, far) in enumerate([(0, 0), (0, 544), (125, 0), (0, 544), (125, 0), (124, 4), (1, 541)]):
        bits[place, :near], bars[place, :far] = 1, 1
    connection.execute("TRUNCATE cnnc, barcode")
    codes.write_cnnc(connection, encoder, list(range(1, 8)), np.packbits(bits[:7], axis=1), 1000)
    codes.write_barcodes(connection, geometry, list(range(1, 8)), np.packbits(bars[:7], axis=1))
    found = rows(connection, "SELECT image_id FROM retrieve(1, encoder => %s)", (encoder,))
    assert [image for (image,) in found] == [6, 3, 5, 2, 4, 7]


def test_another_geometry_is_not_the_encoders(connection: Any) -> None:
    filled = fill(connection, 10)
    assert rows(connection, "SELECT encoder_geometry(%s)", (filled.encoders[0],)) == [(filled.geometry,)]
    codes.geometry_id(connection, 192, 16, 273, "median-positive")
    codes.geometry_id(connection, 192, 8, 272, "median-positive")
    assert rows(connection, "SELECT encoder_geometry(%s)", (filled.encoders[0],)) == [(filled.geometry,)]


@pytest.mark.parametrize("indexed", [False, True])
def test_near_duplicates_are_all_of_them_once(connection: Any, indexed: bool) -> None:
    count = 5200 if indexed else 1500
    cnnc = np.concatenate([clustered(count - 500, 300, 30), clustered(500, 2, 5, seed=9)])
    cnnc[::50] = cnnc[1]
    # pairs that differ in just as many bits as are asked for, and in one more; one of each is an anchor, alone in its
    # cell, and those of 120 and 121 bits are in the cell of another
    cnnc[3] = np.random.default_rng(1).integers(0, 256, 125, np.uint8)
    for place, bits in ((-1, 3), (-2, 4), (-3, 25), (-4, 26), (-5, 120), (-6, 121), (5, 235)):
        flipped = np.unpackbits(cnnc[3])
        flipped[:bits] ^= 1
        cnnc[place] = np.packbits(flipped)
    images.add(
        connection, [images.NewImage(i.to_bytes(32, "big"), f"file:///{i}", "png", 4, 5, 8, "M") for i in range(count)]
    )
    encoder = add_encoder(connection)
    codes.write_cnnc(connection, encoder, list(range(1, count + 1)), cnnc, 1000)
    if indexed:
        build_exact(connection, encoder, 320)
    connection.execute("ANALYZE")
    far = np.concatenate([distances(cnnc[at : at + 100], cnnc) for at in range(0, count, 100)])
    # by blocks, and beyond 100 bits by the index or one by one
    for most in (0, 3, 25, 120):
        assert (far == most).any()
        assert (far == most + 1).any() or not most
        left, right = np.nonzero(np.triu(far <= most, 1))
        wanted = sorted(zip((left + 1).tolist(), (right + 1).tolist(), far[left, right].tolist(), strict=True))
        assert sorted(rows(connection, "SELECT * FROM near_duplicates(%s)", (most,))) == wanted
    for wrong in ("1001", "-1", "NULL"):
        assert f"max_distance is {wrong}; it takes" in refused(connection, f"SELECT * FROM near_duplicates({wrong})")


def test_coverage_and_pending(connection: Any) -> None:
    new = [images.NewImage(bytes([i]) * 32, f"file:///{i}", "png", 4, 5, 8, "M", modality="CR") for i in range(3)]
    images.add(connection, new)
    assert rows(connection, "SELECT modality, images, coded, pending FROM coverage") == [("CR", 3, 0, 3)]
    assert rows(connection, "SELECT count(*), count(encoder_id) FROM pending") == [(3, 0)]
    fill_two: Filled = fill_some(connection)
    first = fill_two.encoders[0]
    codes.keep_failure(connection, first, 2, "ImageError", "is gone")
    codes.keep_failure(connection, fill_two.encoders[1], 3, "ImageError", "of no interest")
    found = rows(connection, "SELECT split, images, coded, barcoded, failed, pending FROM coverage ORDER BY split")
    assert found == [(None, 3, 1, 1, 1, 2)]
    found = rows(connection, "SELECT image_id, encoder_id, error, message, attempts FROM pending ORDER BY 1")
    assert found == [(2, first, "ImageError", "is gone", 1), (3, first, None, None, None)]


def fill_some(connection: Any) -> Filled:
    """Two encoders; the first image has a code and a barcode."""
    encoders = add_encoder(connection), add_encoder(connection, seed=1)
    geometry = codes.geometry_id(connection, 192, 16, 272, "median-positive")
    cnnc, rbc = np.zeros((1, 125), np.uint8), np.zeros((1, 544), np.uint8)
    codes.write_cnnc(connection, encoders[0], [1], cnnc, 1000)
    codes.write_barcodes(connection, geometry, [1], rbc)
    return Filled(encoders, geometry, (cnnc, cnnc), rbc, [None])


UNCOMMENTED = """
SELECT 'relation ' || c.relname FROM pg_class c
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND obj_description(c.oid, 'pg_class') IS NULL AND {mine}
UNION ALL
SELECT 'column ' || c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'c') AND a.attnum > 0 AND NOT a.attisdropped
  AND col_description(c.oid, a.attnum) IS NULL AND {mine}
UNION ALL
SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'radretrieval'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT 'type ' || t.typname FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE t.typnamespace = 'radretrieval'::regnamespace AND (t.typtype IN ('e', 'd') OR c.relkind = 'c')
  AND obj_description(t.oid, 'pg_type') IS NULL
""".replace(
    "{mine}",
    "c.relnamespace = 'radretrieval'::regnamespace AND c.relname !~ '^(alembic_version|(cnnc|exact)_[0-9]+)$'",
)


def test_everything_has_a_comment(connection: Any) -> None:
    assert rows(connection, UNCOMMENTED) == []
    connection.execute("CREATE TABLE uncommented (id int)")
    assert len(rows(connection, UNCOMMENTED)) == 2

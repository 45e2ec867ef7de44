"""Whoever writes codes or labels, the exact index stays true to them, in the writing transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import psycopg
import pytest
from anchored import (
    COUNT,
    Anchored,
    Truth,
    asking,
    disturbed,
    far_codes,
    nearest,
    new_codes,
    new_images,
    rows,
    sound,
    text,
)
from numpy.typing import NDArray
from tiny import add_encoder

from radretrieval.archive import codes, connections, encoders, migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.search import exact_index
from radretrieval.archive.search.anchor_hints import AnchorHints

INSERT = "INSERT INTO {} (encoder_id, image_id, code) VALUES (%s, %s, %s::bit(1000))"


@pytest.fixture
def connection(indexed: Database) -> Iterator[Any]:
    with asking(indexed.url) as made:
        yield made


def proven(database: Database, connection: Any, encoder: int) -> Truth:
    """The index is sound, and filtered and plain answers are those of brute force."""
    sound(database, encoder)
    truth = Truth(connection, encoder)
    for query in (truth.codes[0], truth.codes[-1], disturbed(truth.codes[len(truth.ids) // 2], 40)):
        for filter_ in ({}, {"modality": ["new 1", "CR"]}, {"split": "test"}, {"modality": {"not": "CR"}}):
            expected = truth.nearest(query, 20, truth.passing(filter_))
            assert nearest(connection, query, 20, filter_)[0] == expected
    return truth


def values(encoder: int, ids: list[int], given: NDArray[np.uint8]) -> list[tuple[int, int, str]]:
    return [(encoder, image, text(code)) for image, code in zip(ids, given, strict=True)]


@pytest.mark.parametrize("table", ["cnnc", "cnnc_1"])
def test_codes_are_inserted_changed_and_taken_by_parent_and_partition(
    indexed: Database, anchored: Anchored, connection: Any, table: str
) -> None:
    *ids, free = new_images(connection, 41)
    given = values(anchored.encoder, ids, np.concatenate([far_codes(20), new_codes(20)]))
    for row in given[:10]:
        connection.execute(INSERT.format(table), row)
    with connection.cursor() as cursor:
        cursor.executemany(INSERT.format(table), given[10:20])
        with cursor.copy(f"COPY {table} (encoder_id, image_id, code) FROM STDIN") as copy:
            for row in given[20:]:
                copy.write_row(row)
    truth = proven(indexed, connection, anchored.encoder)
    assert len(truth.ids) == COUNT + 40
    upsert = INSERT.format(table) + " ON CONFLICT (encoder_id, image_id) DO UPDATE SET code = excluded.code"
    assert connection.execute(upsert, values(anchored.encoder, ids[:1], far_codes(1, 6))[0]).rowcount == 1
    connection.execute(f"UPDATE {table} SET code = ~code WHERE image_id % 7 = 0 OR image_id > {COUNT + 30}")
    connection.execute(f"UPDATE {table} SET image_id = %s WHERE image_id = %s", (free, ids[3]))
    connection.execute(f"DELETE FROM {table} WHERE image_id % 5 = 0")
    connection.execute(
        f"MERGE INTO {table} c USING (SELECT id FROM image WHERE id % 35 < 6) i ON c.image_id = i.id "
        "WHEN MATCHED AND i.id % 35 = 1 THEN DELETE "
        "WHEN MATCHED THEN UPDATE SET code = c.code # repeat('01', 500)::bit(1000) "
        f"WHEN NOT MATCHED THEN INSERT VALUES ({anchored.encoder}, i.id, repeat('1', 1000)::bit(1000))"
    )
    proven(indexed, connection, anchored.encoder)


def test_labels_change(indexed: Database, anchored: Anchored, connection: Any) -> None:
    connection.execute("UPDATE image SET modality = 'new ' || id % 3, withdrawn = NOT withdrawn WHERE id % 9 = 0")
    connection.execute("UPDATE image SET irma_code = NULL, body_part = 'HAND' WHERE id <= 700")
    connection.execute("UPDATE image SET rows = rows + 1, patient_key = 'p'")
    upsert = (
        "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric) SELECT sha256, uri, format, "
        "rows, columns, bits_stored, photometric FROM image WHERE id = 3 "
        "ON CONFLICT (sha256, frame) DO UPDATE SET split = 'again', modality = ''"
    )
    connection.execute(upsert)
    sound(indexed, anchored.encoder)
    connection.execute("UPDATE image SET modality = NULL WHERE modality = ''")
    proven(indexed, connection, anchored.encoder)
    assert len(nearest(connection, Truth(connection, 1).codes[2], 5, {"split": "again"})[0]) == 1


def test_images_go_and_everything_goes(indexed: Database, anchored: Anchored, connection: Any) -> None:
    connection.execute("DELETE FROM image WHERE id % 2 = 0")
    truth = proven(indexed, connection, anchored.encoder)
    assert len(truth.ids) == COUNT // 2
    connection.execute("DELETE FROM cnnc")
    assert sound(indexed, anchored.encoder).codes == 0
    assert nearest(connection, truth.codes[0], 50) == ([], set())
    ids = truth.ids[:900].tolist()
    codes.write_cnnc(connection, anchored.encoder, ids, far_codes(900), 1000)
    proven(indexed, connection, anchored.encoder)


@pytest.mark.parametrize("statement", ["TRUNCATE cnnc", "TRUNCATE cnnc_1", "TRUNCATE image CASCADE"])
def test_truncated(indexed: Database, anchored: Anchored, connection: Any, statement: str) -> None:
    code = Truth(connection, anchored.encoder).codes[0]
    connection.execute(statement)
    assert sound(indexed, anchored.encoder).codes == 0
    assert nearest(connection, code, 50) == nearest(connection, code, 5, {"modality": "CR"}) == ([], set())
    ids = new_images(connection, 30)
    codes.write_cnnc(connection, anchored.encoder, ids, far_codes(30), 1000)
    assert len(proven(indexed, connection, anchored.encoder).ids) == 30


def test_what_is_rolled_back_leaves_nothing(indexed: Database, anchored: Anchored, connection: Any) -> None:
    table = f"exact_{rows(connection, 'SELECT id FROM exact_index')[0][0]}"
    tables = (table, "exact_anchor", "exact_group", "exact_cell")
    before = [sorted(rows(connection, f"SELECT x::text FROM {name} x")) for name in tables]
    ids = new_images(connection, 6)
    given = values(anchored.encoder, ids, far_codes(6))
    with suppress(ZeroDivisionError), connection.transaction():
        connection.execute(INSERT.format("cnnc"), given[0])
        connection.execute("UPDATE image SET split = 'rolled back' WHERE id < 99")
        connection.execute("TRUNCATE cnnc")
        raise ZeroDivisionError
    assert [sorted(rows(connection, f"SELECT x::text FROM {name} x")) for name in tables] == before
    with connection.transaction():
        connection.execute(INSERT.format("cnnc"), given[1])
        with suppress(ZeroDivisionError), connection.transaction():  # a savepoint
            connection.execute(INSERT.format("cnnc"), given[2])
            connection.execute("UPDATE image SET split = 'rolled back' WHERE id < 99")
            raise ZeroDivisionError
        with connection.transaction():
            connection.execute(INSERT.format("cnnc"), given[3])
        connection.execute("UPDATE image SET split = 'kept' WHERE id = %s", (ids[3],))
    truth = proven(indexed, connection, anchored.encoder)
    assert truth.ids[COUNT:].tolist() == [ids[1], ids[3]]


def test_groups_reach_far_codes_and_an_index_without_groups_serves(
    indexed: Database, anchored: Anchored, connection: Any
) -> None:
    ids = new_images(connection, 30)
    given = values(anchored.encoder, ids, np.concatenate([far_codes(20), new_codes(10)]))
    reach = "SELECT sum(reach) FROM exact_group"
    before = rows(connection, reach)
    connection.execute(INSERT.format("cnnc"), given[0])
    assert rows(connection, reach) > before
    with connection.cursor() as cursor, cursor.copy("COPY cnnc (encoder_id, image_id, code) FROM STDIN") as copy:
        for row in given[1:10]:
            copy.write_row(row)
    truth = proven(indexed, connection, anchored.encoder)
    far = far_codes(10)
    statement = "SELECT image_id, distance FROM cnnc_nearest(%s::bit(1000), 1) ORDER BY distance, image_id"
    for code in far:
        assert rows(connection, statement, (text(code),)) == truth.nearest(code, 1)
    connection.execute("DELETE FROM exact_group")  # as in an index that a version before 0012 built
    connection.execute(INSERT.format("cnnc"), given[10])
    with connection.cursor() as cursor, cursor.copy("COPY cnnc (encoder_id, image_id, code) FROM STDIN") as copy:
        for row in given[11:]:
            copy.write_row(row)
    proven(indexed, connection, anchored.encoder)


def test_only_a_code_without_a_nearer_anchor_makes_its_group_reach_farther(anchored: Anchored, connection: Any) -> None:
    """Else a few codes that got an anchor at random far away make all searches look into its group."""
    placed = (
        "SELECT g.code <~> c.code <= g.reach, a.code <~> c.code = (SELECT min(o.code <~> c.code) FROM exact_anchor o)"
        " FROM (SELECT %s::bit(1000) AS code) c, exact_group g"
        " JOIN exact_anchor a ON a.anchor BETWEEN g.first AND g.last"
        " WHERE a.anchor = exact_anchor_near(g.index_id, c.code)"
    )
    between = np.packbits(np.random.default_rng(8).random((60, 1000)) < 0.2, axis=1) ^ new_codes(60)
    found = [rows(connection, placed, (text(code),)) for code in (*far_codes(20), *new_codes(40), *between)]
    assert all(within or nearest for ((within, nearest),) in found)
    assert {within for ((within, _),) in found} == {True, False}


def test_a_code_at_the_very_reach_of_its_group_is_found(indexed: Database, anchored: Anchored, connection: Any) -> None:
    index, first, reach, anchor, group, near = rows(
        connection,
        "SELECT g.index_id, g.first, g.reach, a.anchor, g.code::text, a.code::text FROM exact_group g"
        " JOIN exact_anchor a ON a.index_id = g.index_id AND a.anchor BETWEEN g.first AND g.last"
        " ORDER BY g.code <~> a.code DESC, a.anchor LIMIT 1",
    )[0]
    centre, start = (np.array(list(code), int) for code in (group, near))
    # on a shortest way from the group's centre over the anchor, beyond all others of the group; then on, to the query
    same = np.flatnonzero(start == centre)
    steps = reach + 5 - int((start != centre).sum())
    far, query = start.copy(), start.copy()
    far[same[:steps]] ^= 1
    query[same[: steps + 20]] ^= 1
    code = np.packbits(far.astype(np.uint8))[None]
    ids = new_images(connection, 1)
    with connection.transaction():
        connection.execute(
            "SELECT set_config('radretrieval.anchors', %s, true)", (f"{index} {{{ids[0]}}} {{{anchor}}}",)
        )
        codes.write_cnnc(connection, anchored.encoder, ids, code, 1000)
    reached = "SELECT reach FROM exact_group WHERE first = %s"
    assert rows(connection, reached, (first,)) == [(reach + 5,)]
    asked = np.packbits(query.astype(np.uint8))
    truth = proven(indexed, connection, anchored.encoder)
    expected = truth.nearest(asked, 1)
    assert expected[0] == (ids[0], 20)
    assert rows(connection, "SELECT image_id, distance FROM cnnc_nearest(%s::bit(1000), 1)", (text(asked),)) == expected
    assert rows(connection, "SELECT cnnc_within(%s::bit(1000), 20)", (text(asked),)) == [(len(expected),)]


def test_hints_true_wrong_and_of_another_index(indexed: Database, anchored: Anchored, connection: Any) -> None:
    near, ids = AnchorHints(), new_images(connection, 60)
    given = np.concatenate([far_codes(30), new_codes(30)])
    index = rows(connection, "SELECT id FROM exact_index")[0][0]

    def write(place: slice, said: str | None = None) -> None:
        with connection.transaction():
            if said is not None:
                connection.execute("SELECT set_config('radretrieval.anchors', %s, true)", (said,))
            told = None if said is not None else near
            codes.write_cnnc(connection, anchored.encoder, ids[place], given[place], 1000, told)

    write(slice(0, 10))
    anchor = f"SELECT key >> 10 FROM exact_{index} WHERE image_id = %s"
    nearest_anchor = (
        "SELECT anchor FROM exact_anchor a, cnnc c WHERE c.image_id = %s ORDER BY a.code <~> c.code, anchor LIMIT 1"
    )
    for image in ids[:10]:
        assert rows(connection, anchor, (image,)) == rows(connection, nearest_anchor, (image,))
    listed = ",".join(map(str, ids[10:20]))
    write(slice(10, 20), f"{index} {{{listed}}} {{{','.join('0' * 10)}}}")  # any anchor will do
    assert rows(connection, anchor, (ids[10],)) == [(0,)]
    write(slice(20, 30), f"{index + 7} {{{listed}}} {{99999}}")  # of an index that was replaced
    write(slice(30, 40), f"{index} {{1,2,3}} {{1,2,3}}")  # of other images
    write(slice(40, 50), "")
    with pytest.raises(psycopg.errors.SerializationFailure, match="could not be put into the exact index"):
        write(slice(50, 60), f"{index} {{{','.join(map(str, ids[50:]))}}} {{{','.join(['99999'] * 10)}}}")
    write(slice(50, 60))
    proven(indexed, connection, anchored.encoder)
    exact_index.build(indexed, encoders.get(connection, anchored.encoder), 9)
    connection.execute("DELETE FROM cnnc WHERE image_id = ANY (%s)", (ids,))
    write(slice(0, 60))  # AnchorHints knows the anchors of the old one, and reads the new
    proven(indexed, connection, anchored.encoder)


def test_many_codes_are_written_in_parts_and_some_have_new_facets(
    indexed: Database, anchored: Anchored, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radretrieval.archive.search.anchor_hints.PART", 7)
    ids, near = new_images(connection, 100), AnchorHints()
    given = np.concatenate([new_codes(60), far_codes(40)])
    with connection.transaction():
        codes.write_cnnc(connection, anchored.encoder, ids[:50], given[:50], 1000, near)
    connection.execute("UPDATE image SET laterality = 'Q' WHERE id = ANY (%s)", (ids[60:64],))
    with pytest.raises(ValueError, match="codes must be uint8"), connection.transaction():
        codes.write_cnnc(connection, anchored.encoder, ids[50:], given[50:71], 1000, near)
    with pytest.raises(psycopg.IntegrityError), connection.transaction():  # in a later part
        codes.write_cnnc(connection, anchored.encoder, [*ids[50:70], ids[0]], given[50:71], 1000, near)
    with connection.transaction():
        codes.write_cnnc(connection, anchored.encoder, ids[50:], given[50:], 1000, near)
    index = rows(connection, "SELECT id FROM exact_index")[0][0]
    found = dict(rows(connection, f"SELECT image_id, key >> 10 FROM exact_{index} WHERE image_id = ANY (%s)", (ids,)))
    anchors = near.anchors_of(connection, anchored.encoder)
    assert anchors is not None
    assert [found[image] for image in ids] == anchors.assign(given)[0].tolist()
    proven(indexed, connection, anchored.encoder)


def test_two_encoders_each_have_their_own(indexed: Database, anchored: Anchored, connection: Any) -> None:
    with connection.transaction():
        second = add_encoder(connection, seed=1)
    codes.write_cnnc(connection, second, list(range(1, 301)), new_codes(300, seed=2), 1000)
    exact_index.build(indexed, encoders.get(connection, second))
    connection.execute("DELETE FROM cnnc WHERE encoder_id = %s AND image_id > 7900", (anchored.encoder,))
    connection.execute("UPDATE cnnc SET code = ~code WHERE image_id < 100")  # of both
    connection.execute("UPDATE image SET split = 'both' WHERE id < 400")
    move = "UPDATE cnnc SET encoder_id = %s WHERE encoder_id = %s AND image_id BETWEEN 400 AND 420"
    connection.execute(move, (second, anchored.encoder))
    for encoder, count in ((anchored.encoder, 7879), (second, 321)):
        assert sound(indexed, encoder).codes == count
    proven(indexed, connection, anchored.encoder)
    truth = Truth(connection, second)
    assert nearest(connection, truth.codes[9], 30, encoder=second)[0] == truth.nearest(truth.codes[9], 30)


def test_two_writers_at_once(indexed: Database, anchored: Anchored, connection: Any) -> None:
    """New facets and wider bounds, in opposite orders; whoever loses a deadlock or a race would have to try again."""
    ids = new_images(connection, 400)
    failures: list[BaseException] = []

    def write(turn: int) -> None:
        own = ids[turn::4][:: 1 if turn % 2 else -1]
        try:
            with connections.connect(indexed.url) as other:
                for start in range(0, len(own), 20):
                    some = own[start : start + 20]
                    labels = "UPDATE image SET split = 's' || id %% 7, modality = 'new 1' WHERE id = ANY (%s)"
                    other.execute(labels, (some,))
                    codes.write_cnnc(other, anchored.encoder, some, far_codes(20, start), 1000)
                    other.execute("DELETE FROM cnnc WHERE image_id = %s", (some[0],))
                    other.commit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(proven(indexed, connection, anchored.encoder).ids) == COUNT + 380


def test_writers_of_anchors_in_opposite_orders_do_not_deadlock(
    indexed: Database, anchored: Anchored, connection: Any
) -> None:
    """A writer that waits for another's facet holds no anchor meanwhile."""
    index = rows(connection, "SELECT id FROM exact_index")[0][0]
    low, high = rows(connection, "SELECT min(anchor), max(anchor) FROM exact_anchor")[0]
    connection.execute("DELETE FROM cnnc WHERE image_id IN (1, 2, 3)")
    (fresh,) = new_images(connection, 1)  # with labels that none has
    failures: list[BaseException] = []

    def write(ids: list[int], anchors: list[int]) -> None:
        try:
            with connections.connect(indexed.url) as other:
                said = f"{index} {{{','.join(map(str, ids))}}} {{{','.join(map(str, anchors))}}}"
                other.execute("SELECT set_config('radretrieval.anchors', %s, true)", (said,))
                codes.write_cnnc(other, anchored.encoder, ids, far_codes(len(ids)), 1000)
        except BaseException as error:
            failures.append(error)

    with connections.connect(indexed.url) as first:
        labels = "format, photometric, modality, body_part, view_position, laterality, irma_code, split, withdrawn"
        first.execute(f"INSERT INTO facet ({labels}) SELECT {labels} FROM image_facet WHERE image_id = {fresh}")
        threads = [
            threading.Thread(target=write, args=given) for given in (([3, fresh], [high, low]), ([1, 2], [low, high]))
        ]
        threads[0].start()
        while not rows(connection, "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"):
            time.sleep(0.02)
        threads[1].start()
        threads[1].join(1)
        first.rollback()
    for thread in threads:
        thread.join(30)
    assert failures == []
    sound(indexed, anchored.encoder)


def test_a_label_that_changes_while_its_code_is_written(indexed: Database, anchored: Anchored, connection: Any) -> None:
    """Whichever of the two commits last, the facet is that of the image."""
    ids = new_images(connection, 2)
    labels = "UPDATE image SET split = 'raced' WHERE id = %s"
    for image, code_first in zip(ids, (True, False), strict=True):
        code = (INSERT.format("cnnc"), values(anchored.encoder, [image], far_codes(1))[0])
        label = (labels, (image,))
        first, second = (code, label) if code_first else (label, code)
        with connections.connect(indexed.url) as one:
            one.execute(*first)
            with asking(indexed.url) as other:
                thread = threading.Thread(target=other.execute, args=second)
                thread.start()
                thread.join(0.3)
                one.commit()
                thread.join(30)
    truth = proven(indexed, connection, anchored.encoder)
    assert [image["split"] for image in truth.images[COUNT:]] == ["raced"] * 2


def test_changes_while_it_is_built_are_in_it(
    indexed: Database, anchored: Anchored, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each stage of a build another connection writes everything that it may."""
    ids, stages = new_images(connection, 100), []

    def meddle(stage: str) -> None:
        place = len(stages) * 20
        stages.append(stage)
        with asking(indexed.url) as other:
            codes.write_cnnc(
                other, anchored.encoder, ids[place : place + 20], far_codes(20, place), 1000, AnchorHints()
            )
            other.execute("UPDATE cnnc SET code = ~code WHERE image_id %% 500 = %s", (place,))
            other.execute("UPDATE image SET split = %s WHERE id %% 400 = %s", (f"{stage}", place))
            other.execute("DELETE FROM image WHERE id %% 700 = %s", (place + 1,))
            other.execute("DELETE FROM cnnc WHERE image_id %% 700 = %s", (place + 3,))
            sound(indexed, anchored.encoder)  # the old one, which answers still

    for name in ("_fill", "_write_changed", "_switch"):
        kept = getattr(exact_index, name)

        def staged(*arguments: Any, name: str = name, kept: Any = kept) -> Any:
            if len(stages) < 5 and f"before {name}" not in stages and "_switch" not in str(stages):
                meddle(f"before {name}")
            result = kept(*arguments)
            if name == "_fill":
                meddle("after _fill")
            return result

        monkeypatch.setattr(exact_index, name, staged)
    counted: list[int] = []

    def advance(count: int) -> None:
        if not counted:
            meddle("assigning")
        counted.append(count)

    exact_index.build(indexed, encoders.get(connection, anchored.encoder), 50, advance)
    assert stages == ["before _fill", "assigning", "after _fill", "before _write_changed", "before _switch"]
    truth = proven(indexed, connection, anchored.encoder)
    assert len(set(ids) & set(truth.ids.tolist())) > 90
    assert rows(connection, "SELECT count(*) FROM exact_touched") == [(0,)]


def test_a_writer_from_before_the_build_is_waited_for(indexed: Database, anchored: Anchored, connection: Any) -> None:
    (image,) = new_images(connection, 1)
    with connections.connect(indexed.url) as writer:
        writer.execute(INSERT.format("cnnc"), values(anchored.encoder, [image], far_codes(1))[0])
        encoder = encoders.get(connection, anchored.encoder)
        building = threading.Thread(target=exact_index.build, args=(indexed, encoder, 20))
        building.start()
        while not rows(connection, "SELECT FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"):
            time.sleep(0.02)
        assert building.is_alive()
        assert nearest(connection, far_codes(1)[0], 1)[0][0][1] > 0  # searches go on
        writer.commit()
        building.join(30)
    assert image in proven(indexed, connection, anchored.encoder).ids


@pytest.mark.parametrize("what", ["an index", "a code"])
def test_a_writer_with_an_old_snapshot_is_refused(
    indexed: Database, anchored: Anchored, connection: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not see the index that was begun since, or the code that was written, and leave the index untrue."""
    monkeypatch.setattr(exact_index, "READER_SECONDS", 0.1)
    code = values(anchored.encoder, [77], Truth(connection, anchored.encoder).codes[76:77])[0]
    connection.execute("DELETE FROM cnnc WHERE image_id = 77")
    insert, label = INSERT.format("cnnc"), "UPDATE image SET split = 'late' WHERE id = 77"
    with connections.connect(indexed.url) as writer:
        writer.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        writer.execute("SELECT FROM image LIMIT 1")
        if what == "an index":
            exact_index.build(indexed, encoders.get(connection, anchored.encoder), 20)
        else:
            connection.execute(insert, code)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="READ COMMITTED transactions only"):
            writer.execute(*((insert, code) if what == "an index" else (label,)))
        writer.rollback()
    sound(indexed, anchored.encoder)


def test_db_upgrade_makes_an_index_its_function_again(indexed: Database, anchored: Anchored, connection: Any) -> None:
    name = rows(connection, "SELECT 'exact_near_' || id FROM exact_index WHERE live")[0][0]
    source = "SELECT prosrc FROM pg_proc WHERE proname = %s"
    before = rows(connection, source, (name,))
    connection.execute(f"DROP FUNCTION {name}")
    migrations.upgrade(indexed.url)
    assert rows(connection, source, (name,)) == before
    assert len(before) == 1

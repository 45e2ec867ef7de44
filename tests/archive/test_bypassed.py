"""Rows that come past the triggers: logical replication, the replica role, restores. No answer misses any of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from anchored import Anchored, Truth, asking, disturbed, far_codes, nearest, new_codes, new_images, rows, sound
from anchored import text as bits
from databases import Server, database_of
from programs import client_programs

from radretrieval.archive import codes, encoders, migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.search import exact_index
from radretrieval.config import Settings
from radretrieval.search.searcher import Searcher

INSERT = "INSERT INTO cnnc (encoder_id, image_id, code) VALUES (%s, %s, %s::bit(1000))"
CONTENT = (
    "SELECT (SELECT md5(string_agg(c::text, '|' ORDER BY c.encoder_id, c.image_id)) FROM cnnc c), "
    "(SELECT md5(string_agg(concat(i.id, i.split, i.modality), '|' ORDER BY i.id)) FROM image i)"
)


@pytest.fixture
def connection(indexed: Database) -> Iterator[Any]:
    with asking(indexed.url) as made:
        yield made


def exact(database: Database, encoder: int) -> set[str]:
    """Asserts that answers, filtered ones too, are those of brute force; returns how they were found."""
    with asking(database.url) as made:
        truth, paths = Truth(made, encoder), set()
        for query in (
            truth.codes[0],
            truth.codes[-1],
            far_codes(1)[0],
            disturbed(truth.codes[len(truth.ids) // 2], 40),
        ):
            for filter_ in ({}, {"modality": ["new 1", "CR"]}, {"split": "raced"}):
                found, taken = nearest(made, query, 50, filter_)
                assert found == truth.nearest(query, 50, truth.passing(filter_))
                paths |= set() if filter_ else taken
    return paths


def write_everything(made: Any, encoder: int, first: int = 0) -> None:
    """Insert, change and delete codes, labels and images."""
    ids = new_images(made, 60) if not first else list(range(first, first + 60))
    given = far_codes(30, 3).tolist() + new_codes(30, 4).tolist()
    for image, code in zip(ids, given, strict=True):
        made.execute(INSERT, (encoder, image, "".join(f"{byte:08b}" for byte in code)))
    made.execute("UPDATE cnnc SET code = ~code WHERE image_id % 97 = 0")
    made.execute("UPDATE image SET split = 'raced', modality = 'CR' WHERE id % 31 = 0")
    made.execute("UPDATE image SET kvp = 70 WHERE id % 37 = 0")
    made.execute("DELETE FROM cnnc WHERE image_id % 41 = 0")


@contextmanager
def subscribed(publisher: Database, subscriber: Database, what: str) -> Iterator[Callable[[], None]]:
    """A subscription in the second database to the first, on one server; yields a function that waits for it."""
    name = f"sub_{database_of(subscriber.url)[-12:]}"
    parts = psycopg.conninfo.conninfo_to_dict(publisher.url)
    with asking(publisher.url) as one, asking(subscriber.url) as other:
        if rows(one, "SHOW wal_level") != [("logical",)] or not str(parts.get("host", "")).startswith("/"):
            pytest.skip("the tests' server replicates nothing: wal_level is not logical, or it is not on this host")
        one.execute(f"CREATE PUBLICATION radiographs FOR {what}")
        one.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))
        source = psycopg.conninfo.make_conninfo("", **parts)
        with_slot = f"WITH (create_slot = false, slot_name = '{name}', copy_data = false)"
        other.execute(f"CREATE SUBSCRIPTION {name} CONNECTION '{source}' PUBLICATION radiographs {with_slot}")

        def level() -> None:
            deadline = time.monotonic() + 30
            while rows(one, CONTENT) != rows(other, CONTENT):
                assert time.monotonic() < deadline, "the subscriber stays behind"
                time.sleep(0.05)

        try:
            yield level
        finally:
            other.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
            other.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
            other.execute(f"DROP SUBSCRIPTION {name}")
            idle = "FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
            while not rows(one, f"SELECT pg_drop_replication_slot(slot_name) {idle}", (name,)):
                time.sleep(0.05)


@pytest.fixture
def replica(server: Server, anchored: Anchored) -> Iterator[Database]:
    """A second copy of the archive with its index."""
    with server.database(template=anchored.template) as url:
        yield Database(url)


def test_field_17_rows_that_logical_replication_applies_are_found(
    indexed: Database, replica: Database, anchored: Anchored, connection: Any
) -> None:
    with subscribed(indexed, replica, "TABLE image, cnnc") as level:
        write_everything(connection, anchored.encoder)
        connection.execute("DELETE FROM image WHERE id % 53 = 0")
        level()
        assert exact(replica, anchored.encoder) == {"exact-index", "exact-scan"}
        sound(replica, anchored.encoder)
        connection.execute("TRUNCATE cnnc")
        codes.write_cnnc(connection, anchored.encoder, [1, 2, 3], far_codes(3), 1000)
        level()
        assert len(nearest_of(replica, anchored.encoder)) == 3
        sound(replica, anchored.encoder)


def nearest_of(database: Database, encoder: int) -> list[tuple[int, int]]:
    with asking(database.url) as made:
        found, truth = nearest(made, far_codes(1)[0], 50)[0], Truth(made, encoder)
        assert found == truth.nearest(far_codes(1)[0], 50)
    return list(found)


def test_field_17_an_index_is_built_and_replicated_in_a_publication_for_all_tables(
    indexed: Database, replica: Database, anchored: Anchored, connection: Any
) -> None:
    """The subscriber is given the rows of the index too, and puts none there itself."""
    with asking(replica.url) as other, subscribed(indexed, replica, "ALL TABLES") as level:
        write_everything(connection, anchored.encoder)
        connection.execute("DELETE FROM image WHERE id % 53 = 0")
        level()
        assert exact(replica, anchored.encoder) == {"exact-index", "exact-scan"}
        sound(replica, anchored.encoder)
        with other.transaction():  # as a DBA repeats what is not replicated: the table of the index that follows
            other.execute("CREATE TABLE exact_2 (LIKE exact_1 INCLUDING ALL)")
        exact_index.build(indexed, encoders.get(connection, anchored.encoder))
        connection.execute("UPDATE cnnc SET code = ~code WHERE image_id % 89 = 0")
        level()
        assert rows(other, "SELECT id, live FROM exact_index") == [(2, True)]
        assert exact(replica, anchored.encoder) == {"exact-scan"}  # its rows are not subscribed to yet
        name = rows(
            other,
            "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database "
            "WHERE datname = current_database())",
        )[0][0]
        other.execute(f"ALTER SUBSCRIPTION {name} REFRESH PUBLICATION")
        connection.execute("UPDATE cnnc SET code = ~code WHERE image_id % 83 = 0")
        level()
        exact(replica, anchored.encoder)
    exact(replica, anchored.encoder)
    sound(indexed, anchored.encoder)


def test_field_17_every_table_has_a_primary_key(indexed: Database, connection: Any) -> None:
    bare = (
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'radretrieval'::regnamespace "
        "AND c.relkind IN ('r', 'p') AND NOT EXISTS ("
        "SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
    )
    assert rows(connection, bare) == []


@pytest.mark.parametrize("table", ["cnnc", "cnnc_1"])
def test_field_17_rows_written_in_the_replica_role_are_found(
    indexed: Database, anchored: Anchored, connection: Any, table: str
) -> None:
    connection.execute("SET session_replication_role = replica")
    ids = new_images(connection, 100)
    write_everything(connection, anchored.encoder, ids[0])
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for image, code in zip(ids[60:], far_codes(40, 9), strict=True):
            copy.write_row((anchored.encoder, image, bits(code)))
    connection.execute(f"DELETE FROM {table} WHERE image_id % 29 = 0")
    assert exact(indexed, anchored.encoder) == {"exact-index", "exact-scan"}
    sound(indexed, anchored.encoder)
    connection.execute(f"TRUNCATE {table}")
    connection.execute(INSERT, (anchored.encoder, ids[0], bits(far_codes(1)[0])))
    assert nearest_of(indexed, anchored.encoder) == [(ids[0], 0)]
    sound(indexed, anchored.encoder)


def test_field_17_a_code_without_its_image_in_the_replica_role(
    indexed: Database, anchored: Anchored, connection: Any
) -> None:
    """No foreign key is checked there: the index cannot have the code, and is left alone from then on."""
    connection.execute("SET session_replication_role = replica")
    connection.execute(INSERT, (anchored.encoder, 10**7, bits(far_codes(1)[0])))
    assert nearest(connection, far_codes(1)[0], 1)[0] == [(10**7, 0)]
    assert encoders.get(connection, anchored.encoder).bypassed


def test_field_17_images_deleted_in_the_replica_role_take_their_codes_along(
    indexed: Database, anchored: Anchored, connection: Any
) -> None:
    """No foreign key deletes them there: lists would have images that are gone, and miss others."""
    connection.execute("SET session_replication_role = replica")
    connection.execute("DELETE FROM image WHERE id % 7 = 0")
    assert exact(indexed, anchored.encoder) == {"exact-index", "exact-scan"}
    sound(indexed, anchored.encoder)
    assert rows(connection, "SELECT count(*) FROM cnnc c WHERE c.image_id % 7 = 0") == [(0,)]


def test_field_17_a_build_trusts_no_index_whose_partition_had_a_trigger_off(
    indexed: Database, anchored: Anchored, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build creates that trigger anew; until it switches, or if it is killed, searches compare with every code."""
    query = Truth(connection, anchored.encoder).codes[4]
    connection.execute("ALTER TABLE cnnc_1 DISABLE TRIGGER exact_change")
    connection.execute("UPDATE cnnc_1 SET code = ~code WHERE image_id % 5 = 0")
    connection.execute("ALTER TABLE cnnc_1 ENABLE TRIGGER exact_change")
    encoder = encoders.get(connection, anchored.encoder)
    with monkeypatch.context() as patched:
        patched.setattr(exact_index, "_sample", interrupted)
        with pytest.raises(KeyboardInterrupt):
            exact_index.build(indexed, encoder)
    found, paths = nearest(connection, query, 50)
    assert (found, paths) == (Truth(connection, anchored.encoder).nearest(query, 50), {"exact-scan"})
    exact_index.build(indexed, encoder)
    assert "exact-index" in exact(indexed, anchored.encoder)
    sound(indexed, anchored.encoder)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def restore(server: Server, source: Database, target: Database, dump: list[str], load: list[str]) -> None:
    """pg_dump and pg_restore with these options."""
    programs = client_programs(server)
    saved = subprocess.run([programs / "pg_dump", "-Fc", *dump, source.url], check=True, capture_output=True).stdout
    loaded = subprocess.run([programs / "pg_restore", *load, "-d", target.url], input=saved, capture_output=True)
    assert loaded.returncode == 0, loaded.stderr


def test_field_17_a_restore_with_disabled_triggers_is_noticed(
    server: Server, indexed: Database, replica: Database, anchored: Anchored, settings: Settings, inside: Any
) -> None:
    with asking(indexed.url) as made:
        made.execute("DELETE FROM image WHERE id <= 5000")
    with asking(replica.url) as made:  # half of them are restored beside the other half
        made.execute("DELETE FROM image WHERE id > 5000")
        encoder = encoders.get(made, anchored.encoder)
    data = ["--data-only", "--table=radretrieval.image", "--table=radretrieval.cnnc_1"]
    restore(server, indexed, replica, data, ["--data-only", "--disable-triggers"])
    assert exact(replica, anchored.encoder) == {"exact-scan"}
    assert "was bypassed" in inside("status", url=replica.url).stderr
    checked = inside("index", "check", url=replica.url, check=False)
    assert (checked.returncode, "was bypassed" in checked.stderr) == (1, True)
    done = inside("db", "check", url=replica.url, check=False)
    assert (done.returncode, "exact_put" in done.stderr) == (3, True)
    migrations.upgrade(replica.url)
    inside("db", "check", url=replica.url)
    with asking(replica.url) as made:  # what comes later does not make it whole
        made.execute("UPDATE cnnc SET code = ~code WHERE image_id = 7")
        made.execute("DELETE FROM cnnc WHERE image_id = 8")
        codes.write_cnnc(made, anchored.encoder, [8], far_codes(1), 1000)
    assert exact(replica, anchored.encoder) == {"exact-scan"}
    exact_index.build(replica, encoder)
    assert "exact-index" in exact(replica, anchored.encoder)
    sound(replica, anchored.encoder)


def test_field_17_a_restore_without_the_data_of_the_index_is_noticed(
    server: Server, indexed: Database, anchored: Anchored, settings: Settings, caplog: Any
) -> None:
    with server.database() as url:
        target = Database(url)
        restore(server, indexed, target, ["--exclude-table-data=radretrieval.exact_[0-9]*"], [])
        with asking(url) as made:
            assert rows(made, "SELECT count(*) FROM exact_1") == [(0,)]
        assert exact(target, anchored.encoder) == {"exact-scan"}
        with asking(url) as made:
            write_everything(made, anchored.encoder)
        assert exact(target, anchored.encoder) == {"exact-scan"}
        with Searcher(target, settings):
            assert "was bypassed" in caplog.text


def test_triggers_of_a_partition_that_was_attached_by_hand(
    indexed: Database, anchored: Anchored, connection: Any
) -> None:
    with connection.transaction():
        connection.execute("CREATE TABLE codes (LIKE cnnc_1 INCLUDING ALL)")
        connection.execute("INSERT INTO codes SELECT encoder_id, image_id, ~code FROM cnnc_1 WHERE image_id < 7000")
        connection.execute("ALTER TABLE cnnc DETACH PARTITION cnnc_1")
        connection.execute("DROP TABLE cnnc_1")
        connection.execute("ALTER TABLE codes RENAME TO cnnc_1")
        connection.execute("ALTER TABLE cnnc ATTACH PARTITION cnnc_1 FOR VALUES IN (1)")
    assert exact(indexed, anchored.encoder) == {"exact-scan"}
    exact_index.build(indexed, encoders.get(connection, anchored.encoder))
    connection.execute("UPDATE cnnc_1 SET code = ~code WHERE image_id < 900")
    write_everything(connection, anchored.encoder)
    assert "exact-index" in exact(indexed, anchored.encoder)
    sound(indexed, anchored.encoder)

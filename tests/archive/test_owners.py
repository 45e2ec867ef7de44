"""What a superuser makes who trains, builds an index or upgrades: it belongs to the owner of the schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from anchored import far_codes, new_images, refused, rows, sound
from databases import Server, database_of
from tiny import TINY, add_encoder

from radretrieval.archive import codes, connections, encoders, migrations
from radretrieval.archive.connections import Database
from radretrieval.archive.encoder_deletion import delete
from radretrieval.archive.schema import objects
from radretrieval.archive.search import exact_index
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable
from radretrieval.jobs.train import TrainOptions, train

OTHERS = (
    "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'radretrieval'::regnamespace "
    "AND c.relowner <> (SELECT nspowner FROM pg_namespace WHERE nspname = 'radretrieval') "
    "UNION SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'radretrieval'::regnamespace "
    "AND p.proowner <> (SELECT nspowner FROM pg_namespace WHERE nspname = 'radretrieval')"
)


@dataclass(frozen=True)
class Owned:
    """One archive as a superuser sees it, and as the owner of its schema, a writer and a reader do."""

    dba: Database
    owner: Database
    writer: Database
    reader: Database


@pytest.fixture
def owned(server: Server) -> Iterator[Owned]:
    with server.database() as url:
        names = {kind: f"RR {kind} {database_of(url)[-8:]}" for kind in ("owner", "writer", "reader")}
        mark = "&" if "?" in url else "?"

        def as_role(kind: str) -> Database:
            name = names[kind].replace(" ", "\\ ")
            return Database(f"{url}{mark}options={quote(f'-crole={name}')}")

        with connections.connect(url, autocommit=True) as made:
            for name in names.values():
                made.execute(f'CREATE ROLE "{name}"')
            made.execute(f'CREATE EXTENSION vector; CREATE SCHEMA radretrieval AUTHORIZATION "{names["owner"]}"')
        try:
            one = Owned(Database(url), *map(as_role, names))
            migrations.upgrade(one.owner.url)
            with one.owner.connection() as made:
                assert rows(made, "SELECT current_user") == [(names["owner"],)]
                new_images(made, 400)
                made.execute(f'GRANT USAGE ON SCHEMA radretrieval TO "{names["writer"]}", "{names["reader"]}"')
                every = "ON ALL TABLES IN SCHEMA radretrieval TO"
                made.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE {every} "{names["writer"]}"')
                made.execute(f'GRANT SELECT {every} "{names["reader"]}"')
            yield one
        finally:
            with connections.connect(url, autocommit=True) as made:
                for name in names.values():
                    made.execute(f'DROP OWNED BY "{name}" CASCADE; DROP ROLE "{name}"')


def write(database: Database, encoder: int, first: int) -> None:
    with database.connection() as made:
        codes.write_cnnc(made, encoder, list(range(first, first + 20)), far_codes(20, first), 1000)


def test_field_18_what_a_superuser_makes_belongs_to_the_owner_of_the_schema(owned: Owned) -> None:
    with owned.dba.connection() as made:
        number = add_encoder(made)
        assert rows(made, "SELECT current_user = session_user") == [(True,)]
        encoder = encoders.get(made, number)
        assert rows(made, OTHERS) == []
    write(owned.owner, number, 1)
    write(owned.writer, number, 21)
    exact_index.build(owned.dba, encoder, 16)
    with owned.dba.connection() as made:
        assert rows(made, OTHERS) == []
    write(owned.writer, number, 41)
    write(owned.dba, number, 61)
    for role in (owned.reader, owned.writer):
        with role.connection() as made:
            assert len(rows(made, "SELECT * FROM similar(1, 5)")) == 5
            assert rows(made, f"SELECT count(*) FROM cnnc_{number}, exact_index") == [(80,)]
    with owned.writer.connection() as made:
        made.execute(f"UPDATE cnnc_{number} SET code = ~code WHERE image_id < 30")
    assert sound(owned.reader, number).codes == 80
    with owned.reader.connection() as made:
        assert "permission denied" in refused(made, f"DELETE FROM cnnc_{number}")


def test_field_18_truncate_goes_on_after_a_superuser_built_the_index(owned: Owned) -> None:
    with owned.dba.connection() as made:
        encoder = encoders.get(made, add_encoder(made))
    write(owned.writer, encoder.id, 1)
    exact_index.build(owned.dba, encoder, 16)
    for role in (owned.writer, owned.dba, owned.owner):
        with role.connection() as made:
            made.execute("TRUNCATE cnnc")
        assert sound(owned.dba, encoder.id).codes == 0
        write(owned.writer, encoder.id, 1)
        assert sound(owned.dba, encoder.id).codes == 20
        with role.connection() as made:
            made.execute(f"TRUNCATE cnnc_{encoder.id}")
    for first, database in enumerate((owned.writer, owned.owner, owned.dba)):
        write(database, encoder.id, 1 + 20 * first)
    assert sound(owned.dba, encoder.id).codes == 60
    for database in (owned.owner, owned.dba, owned.owner):  # each removes what the other built
        exact_index.build(database, encoder, 16)
    exact_index.drop(owned.owner, encoder)


def test_field_18_a_superuser_upgrades_and_the_owner_upgrades_again(owned: Owned) -> None:
    with owned.dba.connection() as made:
        encoder = add_encoder(made)
        # as an older version left it
        made.execute(f'ALTER TABLE cnnc_{encoder} OWNER TO "{user(made)}"')
        for made_by_us in ("FUNCTION exact_cnnc_changed()", "VIEW pending", "TABLE schema_object"):
            made.execute(f'ALTER {made_by_us} OWNER TO "{user(made)}"')
        made.execute("CREATE VIEW of_the_site AS SELECT id FROM image")
    for database in (owned.dba, owned.owner, owned.dba):
        with owned.owner.connection() as made:
            if database is owned.dba:
                made.execute("DROP FUNCTION near_duplicates; DROP TRIGGER exact_empty ON cnnc")
        migrations.upgrade(database.url)
        objects.check(owned.owner)
        with owned.dba.connection() as made:
            assert rows(made, OTHERS) == [("of_the_site",)]
    write(owned.writer, encoder, 1)


def test_field_18_a_role_that_may_not_add_encoders_is_refused_before_the_training(
    owned: Owned, settings: Settings
) -> None:
    with pytest.raises(EnvironmentUnusable, match="only the owner of the schema"):
        train(owned.writer, settings, TrainOptions(TINY, device="cpu"))
    for role in (owned.owner, owned.dba):
        with role.connection() as made:
            encoders.lock_to_add(made)
            add_encoder(made)


def user(connection: Any) -> str:
    return str(rows(connection, "SELECT current_user")[0][0])


def test_field_24_only_the_owner_of_the_schema_deletes_an_encoder(owned: Owned, tmp_path: Path) -> None:
    with owned.dba.connection() as made:
        numbers = [add_encoder(made) for _ in range(3)]
    for number in numbers[1:]:
        write(owned.writer, number, 1)
        with owned.owner.connection() as made:
            codes.keep_failure(made, number, 30, "ImageError", "is gone")
            exact_index.build(owned.dba, encoders.get(made, number), 16)
    for role in (owned.writer, owned.reader):
        with pytest.raises(EnvironmentUnusable, match="owner of the schema radretrieval .*: nothing was deleted"):
            delete(role, numbers[1], tmp_path)
    with owned.owner.connection() as made:
        kept = "SELECT count(*) FROM coding_failure UNION ALL SELECT count(*) FROM exact_index WHERE live"
        assert rows(made, kept) == [(2,), (2,)]
    for role, number in ((owned.owner, numbers[1]), (owned.dba, numbers[2])):
        assert delete(role, number, tmp_path).codes == 20
    with owned.owner.connection() as made:
        assert rows(made, kept) == [(0,), (0,)]
        assert rows(made, "SELECT id FROM encoder") == [(numbers[0],)]

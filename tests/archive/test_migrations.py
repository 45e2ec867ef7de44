"""Migrations: they make the schema that the code needs, both ways, by hand too, and say what a DBA must do."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from catalogue import catalogue
from conftest import Run
from databases import Server

from radretrieval.archive import migrations, opening, requirements
from radretrieval.archive.connections import Database
from radretrieval.archive.schema import objects as schema_objects
from radretrieval.archive.schema import tables
from radretrieval.archive.schema.revision import REVISION
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, SchemaOutdated

ROOT = Path(__file__).parents[2]


def differences(url: str) -> list[object]:
    def include_name(name: str | None, kind: str, parents: object) -> bool:
        return name == tables.SCHEMA if kind == "schema" else name != "alembic_version"

    made = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: migrations._plain(url))
    with made.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": include_name,
                "compare_server_default": True,
                # comments are the files' of archive/sql: test_objects.py
                "autogenerate_plugins": ["alembic.autogenerate.*", "~alembic.autogenerate.comments"],
            },
        )
        found: list[object] = compare_metadata(context, tables.metadata)
    made.dispose()
    return found


def objects(url: str) -> list[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT relkind::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE nspname = 'radretrieval' ORDER BY 1, 2"
        ).fetchall()


def test_what_goes_with_an_image_is_found_by_an_index(database: Database) -> None:
    """Else each image that is deleted reads whole tables, or whole indexes with servers before 18."""
    with database.connection() as connection:
        found = connection.execute(
            "SELECT k.conrelid::regclass::text AS name, k.conkey[1] AS number, EXISTS (SELECT FROM pg_index i "
            "WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1] AND i.indpred IS NULL) AS indexed "
            "FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = 'image'::regclass AND k.confdeltype <> 'a'"
        ).fetchall()
    assert len(found) >= 9
    assert [row for row in found if not row["indexed"]] == []


def test_metadata_and_migrations_differ_in_nothing(archive_url: str) -> None:
    assert differences(archive_url) == []


def test_a_difference_would_be_seen(archive_url: str) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("ALTER TABLE radretrieval.geometry DROP COLUMN bins CASCADE")
        connection.execute("DROP INDEX radretrieval.encoder_one_active")
    assert len(differences(archive_url)) >= 2


def test_up_down_up(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    first = objects(empty_database_url)
    migrations.downgrade(empty_database_url, "base")
    assert [name for _, name in objects(empty_database_url) if not name.startswith("alembic_version")] == []
    migrations.upgrade(empty_database_url)
    assert objects(empty_database_url) == first


def test_a_downgrade_leaves_the_comments_of_before(empty_database_url: str) -> None:
    def comments() -> list[tuple[object, ...]]:
        query = (
            "SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description "
            "WHERE (pg_identify_object(classoid, objoid, objsubid)).schema = 'radretrieval' ORDER BY 1"
        )
        with psycopg.connect(empty_database_url) as connection:
            return connection.execute(query).fetchall()

    migrations.upgrade(empty_database_url, "0004")
    before = comments()
    migrations.upgrade(empty_database_url, "0005")
    assert len(comments()) > len(before) + 100
    migrations.downgrade(empty_database_url, "0004")
    assert comments() == before


def test_down_and_up_with_codes_and_an_index(empty_database_url: str) -> None:
    import numpy as np
    from tiny import add_encoder

    from radretrieval.archive import codes, encoders
    from radretrieval.archive.search import exact_check, exact_index

    migrations.upgrade(empty_database_url)
    database = Database(empty_database_url)
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric) "
            "SELECT sha256(n::text::bytea), 'file:///' || n, 'png', 4, 5, 8, 'MONOCHROME2' "
            "FROM generate_series(1, 300) n"
        )
        number = add_encoder(connection)
        random = np.random.default_rng(0).integers(0, 256, (300, 125), np.uint8)
        codes.write_cnnc(connection, number, range(1, 301), random, 1000)
    for _ in range(2):
        with database.connection() as connection:
            encoder = encoders.get(connection, number)
        assert exact_index.build(database, encoder).codes == 300
        assert exact_check.check(database, encoder, 9, 50).sound
        migrations.downgrade(empty_database_url, "0003")
        assert not [name for _, name in objects(empty_database_url) if name.startswith("exact")]
        migrations.upgrade(empty_database_url)
    with database.connection() as connection:  # codes that were there before the upgrade are followed too
        assert exact_index.build(database, encoder).codes == 300
        connection.execute("DELETE FROM cnnc WHERE image_id = 7")
        connection.execute(f"DELETE FROM cnnc_{number} WHERE image_id = 8")
    assert exact_check.check(database, encoder, 9, 50).codes == 298
    assert exact_check.check(database, encoder, 9, 50).sound


def test_images_that_were_there_are_not_withdrawn(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    migrations.downgrade(empty_database_url, "0001")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric) "
            "VALUES (decode(repeat('00', 32), 'hex'), 'file:///a.png', 'png', 1, 1, 8, 'MONOCHROME2')"
        )
    migrations.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT withdrawn FROM radretrieval.image").fetchall() == [(False,)]


def test_an_archive_in_use_is_upgraded_with_the_views_that_stand_on_ours(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, "0001")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric, irma_code) "
            "VALUES (sha256('a'), 'file:///a.png', 'png', 4, 5, 8, 'MONOCHROME2', '1121-120-942-700')"
        )
        connection.execute("CREATE VIEW mine AS SELECT id, anatomy FROM radretrieval.image_decoded")
    migrations.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT anatomy FROM mine").fetchall() == [("lower extremity (leg) / left knee",)]
        assert connection.execute("SELECT withdrawn FROM radretrieval.image_decoded").fetchall() == [(False,)]


def test_upgrading_twice_changes_nothing(archive_url: str) -> None:
    before = objects(archive_url)
    migrations.upgrade(archive_url)
    assert objects(archive_url) == before


def test_two_upgrades_at_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        # two processes: Alembic keeps its context in a module
        code = f"from radretrieval.archive import migrations; migrations.upgrade({empty_database_url!r})"
        runs = list(threads.map(lambda _: subprocess.run([sys.executable, "-c", code], check=False), range(2)))
    assert [run.returncode for run in runs] == [0, 0]
    assert opening.check(Database(empty_database_url))["revision"] == REVISION


def test_the_revision_that_is_needed_is_the_head() -> None:
    script = ScriptDirectory.from_config(migrations.config(None))
    assert script.get_heads() == [REVISION]


def definitions(url: str) -> list[tuple[str, str]]:
    """What functions, views and constraints say."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p "
            "JOIN pg_language l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql') "
            "WHERE p.pronamespace = 'radretrieval'::regnamespace "
            "UNION ALL SELECT c.oid::regclass::text, pg_get_viewdef(c.oid) FROM pg_class c "
            "WHERE c.relnamespace = 'radretrieval'::regnamespace AND c.relkind = 'v' "
            "UNION ALL SELECT c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c "
            "WHERE c.connamespace = 'radretrieval'::regnamespace ORDER BY 1, 2"
        ).fetchall()


def test_sql_for_a_dba_makes_the_same_schema(empty_database_url: str, archive_url: str) -> None:
    output = io.StringIO()
    migrations.print_sql(output)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(output.getvalue().encode())
    assert objects(empty_database_url) == objects(archive_url)
    assert differences(empty_database_url) == []
    assert definitions(empty_database_url) == definitions(archive_url)
    with psycopg.connect(empty_database_url) as one, psycopg.connect(archive_url) as other:
        query = "SELECT * FROM radretrieval.irma_term ORDER BY axis, prefix"
        assert one.execute(query).fetchall() == other.execute(query).fetchall()


def test_alembic_itself_prints_the_same_sql() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    output = io.StringIO()
    migrations.print_sql(output)
    assert run.stdout.strip() == output.getvalue().strip()


def test_migrations_wait_only_so_long_for_a_lock() -> None:
    output = io.StringIO()
    migrations.print_sql(output)
    assert "SET lock_timeout = '10s'" in output.getvalue()
    assert "SET statement_timeout = '10min'" in output.getvalue()


def test_a_database_without_the_schema_is_told_what_to_run(empty_database_url: str) -> None:
    with pytest.raises(SchemaOutdated, match="not set up yet.*run: radretrieval db upgrade"):
        opening.check(Database(empty_database_url))


def test_a_newer_schema_asks_for_a_newer_program(archive_url: str) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("UPDATE radretrieval.alembic_version SET version_num = '9999'")
    with pytest.raises(
        SchemaOutdated, match=f"at revision 9999, this version needs revision {REVISION}; upgrade rad.*l$"
    ):
        opening.check(Database(archive_url))


def test_a_newer_schema_is_left_as_it_is(
    archive_url: str, inside: Callable[..., Run], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`db upgrade` used to fail with Alembic's words, after it had given the schema's objects to their owner."""
    before = catalogue(archive_url)
    with psycopg.connect(archive_url) as connection:
        connection.execute("UPDATE radretrieval.alembic_version SET version_num = '9999'")
    done = inside("db", "upgrade", check=False)
    said = f"is at revision 9999, and this version knows none newer than {REVISION}"
    assert (done.returncode, said in done.stderr) == (3, True)
    monkeypatch.setattr(opening, "database_url", lambda settings: archive_url)
    with pytest.raises(SchemaOutdated, match=said):  # the embedded archive, which is upgraded by itself
        opening.open_database(settings)
    assert catalogue(archive_url) == before


def test_an_upgrade_that_was_killed_is_finished_by_the_next(empty_database_url: str) -> None:
    """Killed when the migrations were committed, and functions, views and triggers were not yet."""
    migrations.upgrade(empty_database_url, "0010")
    code = f"from radretrieval.archive import migrations; migrations.upgrade({empty_database_url!r})"
    waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'radretrieval.schema_object'::regclass"
    with psycopg.connect(empty_database_url) as holder, psycopg.connect(empty_database_url, autocommit=True) as asking:
        holder.execute("LOCK TABLE radretrieval.schema_object IN ROW EXCLUSIVE MODE")
        with subprocess.Popen([sys.executable, "-c", code]) as process:
            deadline = time.monotonic() + 60
            while asking.execute(waits).fetchone() is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.kill()
    with pytest.raises(SchemaOutdated, match=r"another version of radr.* or an upgrade of it was not finished; .* run"):
        opening.check(Database(empty_database_url))
    migrations.upgrade(empty_database_url)
    opening.check(Database(empty_database_url))
    schema_objects.check(Database(empty_database_url))


@pytest.fixture
def guest(server: Server, empty_database_url: str) -> Iterator[tuple[str, str]]:
    """A role without privileges in an empty database: its name, and the database's URL."""
    name = "guest_of_test_migrate"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        yield name, empty_database_url
        connection.execute(f"DROP OWNED BY {name} CASCADE")
        connection.execute(f"DROP ROLE {name}")


def as_role(url: str, role: str) -> str:
    """The same database, in the role's shoes from the first statement on."""
    return f"{url}{'&' if '?' in url else '?'}options=-crole%3D{role}"


def test_a_role_that_may_not_create_the_extension_gets_the_dbas_sql(guest: tuple[str, str]) -> None:
    name, url = guest
    with pytest.raises(EnvironmentUnusable, match=r"as a superuser in \w+: CREATE EXTENSION vector;"):
        migrations.upgrade(as_role(url, name))


def test_a_role_that_may_not_create_a_schema_gets_the_dbas_sql(guest: tuple[str, str]) -> None:
    name, url = guest
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION vector")
    with pytest.raises(EnvironmentUnusable, match=rf'CREATE SCHEMA radretrieval AUTHORIZATION "{name}";'):
        migrations.upgrade(as_role(url, name))
    with psycopg.connect(url) as connection:
        connection.execute(f'CREATE SCHEMA radretrieval AUTHORIZATION "{name}"')
    migrations.upgrade(as_role(url, name))
    assert opening.check(Database(as_role(url, name)))["revision"] == REVISION


def test_an_old_extension_gets_the_dbas_sql(archive_url: str) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'")
    with pytest.raises(EnvironmentUnusable, match=r"pgvector 0\.6\.2 is too old.*ALTER EXTENSION vector UPDATE;"):
        opening.check(Database(archive_url))


def test_an_extension_out_of_sight_gets_the_dbas_sql(archive_url: str) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("ALTER EXTENSION vector SET SCHEMA elsewhere")
    with pytest.raises(EnvironmentUnusable, match="ALTER EXTENSION vector SET SCHEMA public;"):
        opening.check(Database(archive_url))


ROW = {
    "database": "pacs",
    "role": "radiology",
    "server_number": 180006,
    "server_version": "18.6",
    "encoding": "UTF8",
    "pgvector_version": None,
    "pgvector_available": "0.8.6",
    "pgvector_schema": None,
}


# no server so old, and none without pgvector, is at hand: the rows are what such servers answer
@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"server_number": 140010, "server_version": "14.10"}, "PostgreSQL 14.10 is too old: 15 or newer"),
        ({"pgvector_available": None}, "postgresql-18-pgvector.*in pacs: CREATE EXTENSION vector;"),
        ({"pgvector_available": "0.6.0"}, "pgvector 0.6.0 is too old: 0.7.0 is needed; install"),
        (
            {"pgvector_version": "0.6.0", "pgvector_schema": "public"},
            "pgvector 0.6.0 is too old.*in pacs: ALTER EXTENSION vector UPDATE;",
        ),
    ],
)
def test_servers_that_cannot_be_used(facts: dict[str, object], message: str) -> None:
    with pytest.raises(EnvironmentUnusable, match=message):
        requirements.require(ROW | facts)


def test_a_fresh_server_can_be_used() -> None:
    requirements.require(ROW)
    requirements.require(ROW | {"server_number": 150000, "pgvector_version": "0.7.0", "pgvector_schema": "public"})

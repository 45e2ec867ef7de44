"""Connections: how a database is named, and what is said of one that cannot be reached."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from databases import with_database

from radretrieval.archive import connections, opening, urls
from radretrieval.archive.connections import Database
from radretrieval.archive.queries import _all, sql
from radretrieval.config import Settings
from radretrieval.errors import DatabaseUnavailable, EnvironmentUnusable, SchemaOutdated


def test_a_transaction_is_kept_or_given_up_whole(archive_url: str) -> None:
    database = Database(archive_url)
    with database.connection() as connection:
        connection.execute("INSERT INTO geometry (size, angles, bins, rule) VALUES (1, 1, 1, 'kept')")

    def broken_off() -> None:
        with database.connection() as connection:
            connection.execute("INSERT INTO geometry (size, angles, bins, rule) VALUES (1, 1, 1, 'lost')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    with database.connection() as connection:
        assert [row["rule"] for row in connection.execute("SELECT rule FROM geometry")] == ["kept"]


def test_a_server_that_is_not_there() -> None:
    url = "postgresql://user:secret@127.0.0.1:9/archive"
    with pytest.raises(
        DatabaseUnavailable, match=r"//user@127\.0\.0\.1:9/archive .*RADRETRIEVAL_DATABASE_URL"
    ) as caught:
        opening.open_database(Settings(database_url=url))
    assert "secret" not in str(caught.value)


def test_a_login_that_is_refused(archive_url: str) -> None:
    """The server answers: whether it runs is not the question."""
    as_nobody = re.sub("//([^@/]*@)?", "//nobody@", archive_url, count=1)
    for url, reason in ((with_database(archive_url, "none"), 'database "none"'), (as_nobody, 'role "nobody"')):
        expected = f"answers, and refuses the login: .*{reason} does not exist; check role, password and database"
        with pytest.raises(DatabaseUnavailable, match=expected):
            opening.open_database(Settings(database_url=url))


def test_a_connection_that_is_cut(archive_url: str) -> None:
    def cut_off() -> None:
        with (
            Database(archive_url).connection() as connection,
            psycopg.connect(archive_url, autocommit=True) as other,
        ):
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
            connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable, match="run it again: nothing is half-written"):
        cut_off()


def test_a_table_that_is_missing_is_an_outdated_schema(archive_url: str) -> None:
    with (
        pytest.raises(SchemaOutdated, match="radretrieval db upgrade"),
        Database(archive_url).connection() as connection,
    ):
        connection.execute("SELECT * FROM no_such_table")


def test_something_else_is_no_url() -> None:
    with pytest.raises(EnvironmentUnusable, match=r"not a database URL of the form postgresql://") as caught:
        urls.database_url(Settings(database_url="mysql://u:secret@h/d"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@127.0.0.1:9/d?password=secret",
        "postgresql://u:secret@127.0.0.1:9/d",
        "postgresql://u:sec/secret@127.0.0.1:9/d",
        "postgresql://u:a%zzsecret@127.0.0.1:9/d",
        "postgresql://u:a[secret@127.0.0.1:9/d",
        "postgresql://u:a@secret#6@127.0.0.1:9/d",
    ],
)
def test_no_message_tells_a_password(url: str) -> None:
    with pytest.raises(EnvironmentUnusable) as caught:
        opening.open_database(Settings(database_url=url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("setting", ["default_transaction_read_only = on", "statement_timeout = 1"])
def test_a_server_that_will_not_is_one_to_wait_for(archive_url: str, setting: str) -> None:
    def write() -> None:
        with Database(archive_url).connection() as connection:
            connection.execute(f"SET {setting}")
            connection.commit()
            connection.execute("INSERT INTO geometry (size, angles, bins, rule) SELECT 1, 1, 1, pg_sleep(1)::text")

    with pytest.raises(DatabaseUnavailable):
        write()


def test_a_standby_that_does_not_answer_is_given_up_sooner(archive_url: str) -> None:
    waited = []
    for patience in (10, 2):
        with Database(archive_url, patience=patience).connection() as connection:
            told = connection.info.get_parameters()
            waited.append([told[name] for name in ("connect_timeout", "keepalives_idle", "tcp_user_timeout")])
    assert waited == [["10", "30", "60000"], ["2", "6", "12000"]]
    settings = Settings(database_url=archive_url, read_url=archive_url)
    reader = opening.open_database(settings).reader
    assert reader is not None
    assert reader.patience == 2


def test_a_url_of_standbys(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a b/c@d")
    url = "postgresql://u@one,two:5433/d?target_session_attrs=prefer-standby"
    made = urls.read_url(Settings(read_url=url, database_password_file=secret))
    assert made is not None
    parts = psycopg.conninfo.conninfo_to_dict(made)
    assert [parts[name] for name in ("host", "port", "password")] == ["one,two", ",5433", "a b/c@d"]
    assert urls.redacted(made) == "postgresql://u@one,two:5433/d"
    assert (
        urls.redacted("postgresql://u:x@one,two,three/d?port=5433") == "postgresql://u@one:5433,two:5433,three:5433/d"
    )
    assert urls.read_url(Settings()) is None
    for wrong in ("mysql://u:secret@h/d", "postgresql://u:a%zzsecret@h/d", "postgresql://u:secret@h/d?no=1"):
        with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_READ_URL gives is not a database URL") as caught:
            urls.read_url(Settings(read_url=wrong))
        assert "secret" not in str(caught.value)
    with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_DIRECT_DATABASE_URL gives is not a database URL"):
        urls.direct_url(Settings(database_url="postgresql://h/d", direct_database_url="mysql://h/d"))


def test_sqlalchemys_form_of_url_is_understood() -> None:
    assert urls.database_url(Settings(database_url="postgresql+psycopg://u@h/d")) == "postgresql://u@h/d"


def test_the_password_comes_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a b/c@d\n")
    settings = Settings(database_url="postgresql://u@h:5432/d", database_password_file=secret)
    assert psycopg.conninfo.conninfo_to_dict(urls.database_url(settings))["password"] == "a b/c@d"
    with pytest.raises(EnvironmentUnusable, match="RADRETRIEVAL_DATABASE_PASSWORD_FILE"):
        urls.database_url(settings.model_copy(update={"database_password_file": tmp_path / "none"}))


def test_every_statement_has_a_name_and_a_description() -> None:
    text = (Path(connections.__file__).parent / "queries.sql").read_text()
    heads = [line for line in text.splitlines() if line.startswith("-- :")]
    assert len(heads) == len(_all()) > 30
    assert all(len(head.split()) > 3 for head in heads)
    with pytest.raises(KeyError):
        sql("no_such_statement")


def test_no_statement_is_idle() -> None:
    sources = "".join(path.read_text() for path in Path(connections.__file__).parent.rglob("*.py"))
    assert [name for name in _all() if f'sql("{name}")' not in sources] == []
